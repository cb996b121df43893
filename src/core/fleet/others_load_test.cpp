// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/others_load.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>

namespace fairlead::fleet {
namespace {

constexpr std::uint32_t kSlot = 3;
constexpr model::EndpointRef kEndpoint{kSlot, 0};

class OthersMeterTest : public ::testing::Test {
 protected:
  // Figures that are asked for now and come after `way`.
  OthersLoad read(const codec::EngineMetrics& metrics, Duration way = {}) {
    const OwnLoad asked(table, kSlot);
    now += way;
    return meter.told(metrics, asked, table.sent(kSlot), now);
  }
  static codec::EngineMetrics queue(double waiting, double running) {
    codec::EngineMetrics metrics;
    metrics.waiting = waiting;
    metrics.running = running;
    return metrics;
  }
  // `admitted` of the prompt tokens were looked up, `cached` of them found, and `begun` are of
  // prompts with a first token.
  static codec::EngineMetrics prefill(double running, double admitted, double cached,
                                      double begun) {
    codec::EngineMetrics metrics = queue(0, running);
    metrics.prefix_queries = admitted;
    metrics.prefix_hits = cached;
    metrics.prompt_tokens = begun;
    return metrics;
  }

  InFlightTable table;
  OthersMeter meter;
  Time now{std::chrono::seconds(100)};
};

TEST_F(OthersMeterTest, NothingIsLeftOfARouterThatIsAloneHoweverLateTheFiguresCome) {
  read(prefill(0, 0, 0, 0));
  InFlightShare begun(table, kEndpoint, 300);
  begun.first_token();
  std::optional<InFlightShare> ends(std::in_place, table, kEndpoint, 700);
  const OwnLoad asked(table, kSlot);
  // Both are in the engine's figures, and so is a third that came before they were written down.
  codec::EngineMetrics metrics = prefill(2, 1500, 0, 300);
  metrics.waiting = 1;
  const InFlightShare later(table, kEndpoint, 500);
  ends.reset();
  now += std::chrono::seconds(5);
  EXPECT_EQ(meter.told(metrics, asked, table.sent(kSlot), now), OthersLoad{});
}

TEST_F(OthersMeterTest, CountsWhatIsInTheQueueAndInPrefillBesideOurs) {
  read(prefill(0, 0, 0, 0));
  const InFlightShare ours(table, kEndpoint, 400);
  // Ours and two others' are in prefill, with 1000 tokens between the two.
  OthersLoad load = read(prefill(3, 1400, 0, 0));
  EXPECT_EQ(load.waiting, 0);
  EXPECT_EQ(load.prefilling, 1000);
  EXPECT_EQ(load.unstarted(), 1);
  // Three wait beside ours.
  load = read(queue(4, 6));
  EXPECT_EQ(load.waiting, 3);
  // Ours waits, so nothing of what is in prefill is ours.
  codec::EngineMetrics metrics = prefill(2, 1000, 0, 0);
  metrics.waiting = 1;
  EXPECT_EQ(read(metrics).prefilling, 1000);
}

TEST_F(OthersMeterTest, OfPromptsInPrefillTheUsualShareIsCached) {
  read(prefill(0, 4000, 1000, 4000));
  EXPECT_EQ(read(prefill(1, 8000, 2000, 4000)).prefilling, 3000);
}

TEST_F(OthersMeterTest, PromptsThatWereGivenUpAreForgottenAfterTwoWindows) {
  read(prefill(0, 0, 0, 0));
  // Nobody gets a first token for these 500 any more.
  EXPECT_EQ(read(prefill(1, 500, 0, 0)).prefilling, 500);
  read(prefill(1, 500, 0, 0), OthersMeter::kFloorWindow);
  read(prefill(1, 500, 0, 0), OthersMeter::kFloorWindow);
  EXPECT_EQ(read(prefill(1, 500, 0, 0)).prefilling, 0);
  EXPECT_EQ(read(prefill(2, 800, 0, 0)).prefilling, 300);
}

TEST_F(OthersMeterTest, RunningAnswersOfOthersAreAveraged) {
  read(queue(0, 0));
  OthersLoad load = read(queue(0, 8), OthersMeter::kDecodingMemory / 20);
  EXPECT_GT(load.decoding, 0.3F);
  EXPECT_LT(load.decoding, 0.5F);
  for (int i = 0; i < 200; ++i) load = read(queue(0, 8), OthersMeter::kDecodingMemory / 20);
  EXPECT_NEAR(load.decoding, 8, 0.01);
  EXPECT_EQ(read(queue(0, 0), 7 * OthersMeter::kDecodingMemory).decoding, 0);
}

TEST_F(OthersMeterTest, WithoutFiguresNothingIsKnownAndAbsurdOnesStayFinite) {
  EXPECT_EQ(read({}), OthersLoad{});
  codec::EngineMetrics no_queue = prefill(5, 1e9, 0, 0);
  no_queue.waiting.reset();
  EXPECT_EQ(read(no_queue), OthersLoad{});
  const OthersLoad load = read(prefill(1e18, 1e18, 1e18, 1e18), std::chrono::hours(1));
  EXPECT_EQ(load.prefilling, 0);
  EXPECT_LE(load.decoding, 1e18F);
}

}  // namespace
}  // namespace fairlead::fleet
