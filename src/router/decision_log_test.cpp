// SPDX-License-Identifier: Apache-2.0
#include "router/decision_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "router/event_log.h"

namespace fairlead::router {
namespace {

// A decision over `rows` endpoints, whose figures tell the row and the number of the decision.
class Made {
 public:
  explicit Made(std::size_t rows) : endpoints_(rows) {
    table_.resize(rows);
    for (std::uint32_t row = 0; row < rows; ++row) {
      endpoints_[row].ref = {row, 7};
      table_.endpoint[row] = &endpoints_[row];
    }
  }
  void note(DecisionLog& log, std::uint64_t number, std::string_view id) {
    for (std::size_t row = 0; row < table_.size(); ++row) {
      for (std::size_t i = 0; i < scheduling::kFigures.size(); ++i) {
        (table_.*scheduling::kFigures[i].values)[row] = value(number, row, i);
      }
    }
    request_.id = id;
    request_.model = "m";
    request_.session = "s";
    request_.prompt_tokens = number;
    decision_.total = static_cast<float>(number);
    log.note({request_, profile_, table_, excluded_, chance_, decision_,
              model::ReplyReason::kFilteredOut, Time(std::chrono::seconds(number))});
  }
  static float value(std::uint64_t number, std::size_t row, std::size_t figure) {
    return static_cast<float>(number * 10000 + row * 10 + figure);
  }

 private:
  std::vector<model::Endpoint> endpoints_;
  scheduling::Candidates table_;
  scheduling::Profile profile_;
  picker::Excluded excluded_[1] = {{{40, 2}, picker::Exclusion::kMasked}};
  Random chance_{5};
  picker::Decision decision_;
  model::InferenceRequest request_;
};

void expect_whole(const PastDecision& past, std::size_t rows) {
  ASSERT_EQ(past.endpoints.size(), rows);
  for (std::size_t row = 0; row < rows; ++row) {
    EXPECT_EQ(past.endpoints[row], (model::EndpointRef{static_cast<std::uint32_t>(row), 7}));
    for (std::size_t i = 0; i < scheduling::kFigures.size(); ++i) {
      ASSERT_EQ(past.figures[i][row], Made::value(past.prompt_tokens, row, i));
    }
  }
  ASSERT_EQ(past.excluded.size(), 1U);
  EXPECT_EQ(past.excluded[0].endpoint.slot, 40U);
  EXPECT_EQ(past.excluded[0].why, picker::Exclusion::kMasked);
  EXPECT_EQ(past.decision.total, static_cast<float>(past.prompt_tokens));
}

TEST(DecisionLog, TheNewestComeBackWholeAndInOrder) {
  DecisionLog log(3);
  EXPECT_TRUE(log.newest(5).empty());
  Made made(8);
  for (std::uint64_t n = 1; n <= 2 * kDecisionsKept + 3; ++n) {
    made.note(log, n, "id-" + std::to_string(n));
  }
  EXPECT_EQ(log.kept(), kDecisionsKept);
  const auto newest = log.newest(5);
  ASSERT_EQ(newest.size(), 5U);
  EXPECT_EQ(newest[0].request_id, "id-515");
  EXPECT_EQ(newest[0].worker, 3U);
  EXPECT_EQ(newest[0].number, 515U);
  EXPECT_EQ(newest[4].request_id, "id-511");
  EXPECT_EQ(newest[0].model, "m");
  EXPECT_EQ(newest[0].session, "s");
  EXPECT_EQ(newest[0].reply, model::ReplyReason::kFilteredOut);
  for (const PastDecision& past : log.newest(kDecisionsKept)) expect_whole(past, 8);
}

TEST(DecisionLog, OneRequestIsFoundByItsWholeIdAndOldOnesAreGone) {
  DecisionLog log(0);
  Made made(2);
  for (std::uint64_t n = 1; n <= kDecisionsKept + 1; ++n) {
    made.note(log, n, n % 2 == 0 ? "even" : "odd-" + std::to_string(n));
  }
  EXPECT_EQ(log.find("even").size(), kDecisionsKept / 2);
  EXPECT_EQ(log.find("odd-3").size(), 1U);
  EXPECT_TRUE(log.find("odd-1").empty());
  EXPECT_TRUE(log.find("od").empty());
  EXPECT_TRUE(log.find("").empty());
}

TEST(DecisionLog, LargeTablesAreKeptWholeWhileFewerDecisionsFit) {
  DecisionLog log(0);
  Made large(model::kMaxEndpoints);
  Made small(3);
  for (std::uint64_t n = 1; n <= 40; ++n) {
    large.note(log, 2 * n, "large");
    small.note(log, 2 * n + 1, "small");
  }
  const auto found = log.newest(kDecisionsKept);
  EXPECT_EQ(found.size(), log.kept());
  ASSERT_GE(found.size(), 8U);
  EXPECT_LT(found.size(), 14U);
  for (const PastDecision& past : found) {
    expect_whole(past, past.request_id == "large" ? model::kMaxEndpoints : 3);
  }
}

TEST(DecisionLog, AnOverlongModelIsCut) {
  DecisionLog log(0);
  scheduling::Candidates table;
  const scheduling::Profile profile;
  const Random chance{1};
  const std::string model(5000, 'x');
  model::InferenceRequest request;
  request.model = model;
  log.note({request, profile, table, {}, chance, {}, model::ReplyReason::kNoEndpoint, Time{}});
  EXPECT_EQ(log.newest(1).at(0).model, model.substr(0, kModelBytesKept));
}

TEST(DecisionLogs, ReadersSeeWholeDecisionsAndEachIsKeptOrCounted) {
  DecisionLogs logs;
  constexpr std::uint64_t kNotes = 20000;
  std::atomic<int> running{2};
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 2; ++worker) {
    workers.emplace_back([&log = logs.add(), &running] {
      Made made(8);
      for (std::uint64_t n = 1; n <= kNotes; ++n) made.note(log, n, "id");
      --running;
    });
  }
  while (running > 0) {
    for (const PastDecision& past : logs.newest(50)) expect_whole(past, 8);
  }
  for (std::thread& worker : workers) worker.join();
  std::array<std::uint64_t, 2> last{};
  for (const PastDecision& past : logs.find("id")) {
    last.at(past.worker) = std::max(last.at(past.worker), past.number);
  }
  EXPECT_EQ(last[0] + last[1] + logs.not_kept(), 2 * kNotes);
}

TEST(EventLog, KeepsTheLastEventsAndCutsLongOnes) {
  EventLog log;
  for (std::size_t n = 1; n <= kEventsKept + 5; ++n) {
    log.add(static_cast<double>(n), LogLevel::kWarning, std::string(5000, 'x'));
  }
  ASSERT_EQ(log.events().size(), kEventsKept);
  EXPECT_EQ(log.events().front().number, 6U);
  EXPECT_EQ(log.events().back().number, kEventsKept + 5);
  EXPECT_EQ(log.events().back().text.size(), kEventBytesMax);
}

}  // namespace
}  // namespace fairlead::router
