// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/synthetic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

namespace fairlead::load {
namespace {

using std::chrono::seconds;

SyntheticSettings small_shared() {
  SyntheticSettings settings;
  settings.prompts = SharedPrefixPrompts{4, 3, 100, 20, 7};
  OpenLoop loop;
  loop.stages = {{5, seconds(6), StageKind::kWarmUp}, {10, seconds(4), StageKind::kMeasured}};
  loop.pause = seconds(30);
  settings.loop = loop;
  return settings;
}

TEST(Poisson, CountHasMeanAndVarianceOfItsRate) {
  for (const double mean : {0.3, 3.0, 60.0, 1300.0}) {
    Random random(7);
    constexpr int kDraws = 20000;
    double sum = 0, squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double count = poisson_count(mean, random);
      sum += count;
      squares += count * count;
    }
    const double average = sum / kDraws;
    const double variance = squares / kDraws - average * average;
    EXPECT_NEAR(average, mean, 5 * std::sqrt(mean / kDraws)) << mean;
    EXPECT_NEAR(variance / mean, 1, 0.06) << mean;
  }
}

TEST(Poisson, ArrivalsFillTheirSecondsWithoutMemory) {
  Random random(3);
  const auto times = arrival_times(Arrivals::kPoisson, 40, seconds(500), random);
  ASSERT_EQ(times.size(), 20000u);
  // The count is fixed, so the span is random: 500 s with a standard deviation of 3.5 s.
  EXPECT_NEAR(to_seconds(times.back()), 500, 18);
  std::map<std::int64_t, double> per_second;
  double gaps = 0, squares = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    ++per_second[times[i] / seconds(1)];
    if (i == 0) continue;
    ASSERT_GE(times[i], times[i - 1]);
    const double gap = to_seconds(times[i] - times[i - 1]);
    gaps += gap;
    squares += gap * gap;
  }
  const double n = static_cast<double>(times.size() - 1);
  const double mean = gaps / n;
  EXPECT_NEAR(std::sqrt(squares / n - mean * mean) / mean, 1, 0.06);  // Exponential gaps.
  double sum = 0, square_sum = 0;
  for (const auto& [second, count] : per_second) {
    sum += count;
    square_sum += count * count;
  }
  const double rows = static_cast<double>(per_second.size());
  const double average = sum / rows;
  EXPECT_NEAR((square_sum / rows - average * average) / average, 1, 0.25);  // Index of dispersion.
}

TEST(Arrivals, ConstantIsEvenlySpaced) {
  Random random(1);
  const auto times = arrival_times(Arrivals::kConstant, 4, seconds(3), random);
  ASSERT_EQ(times.size(), 12u);
  EXPECT_EQ(times[0], Duration{});
  EXPECT_EQ(times[11], std::chrono::milliseconds(2750));
}

TEST(SharedPrefix, PromptsAreDealtCyclicallyInOneShuffledOrder) {
  const Workload workload = plan_synthetic(small_shared()).value();
  ASSERT_EQ(workload.requests.size(), 70u);
  std::set<std::uint32_t> prompts;
  bool shuffled = false;
  for (std::size_t i = 0; i < workload.requests.size(); ++i) {
    const PlannedRequest& request = workload.requests[i];
    // Stage 1 goes on where stage 0 stopped.
    EXPECT_EQ(request.first_part, workload.requests[i % 12].first_part) << i;
    if (i < 12) prompts.insert(request.first_part);
    shuffled = shuffled || request.first_part != 2 * (i % 12);
    EXPECT_EQ(request.stage, i < 30 ? 0u : 1u);
  }
  EXPECT_EQ(prompts.size(), 12u);
  EXPECT_TRUE(shuffled);
}

TEST(SharedPrefix, GroupsShareTheSystemPromptAndNothingElse) {
  const Workload workload = plan_synthetic(small_shared()).value();
  EXPECT_EQ(workload.group_count, 4u);
  std::map<std::uint32_t, std::set<std::uint64_t>> systems;
  std::set<std::uint64_t> questions;
  for (const PlannedRequest& request : workload.requests) {
    const auto parts = workload.prompt(request);
    ASSERT_EQ(parts.size(), 2u);
    EXPECT_EQ(parts[0].tokens, 100u);
    EXPECT_EQ(parts[1].tokens, 20u);
    EXPECT_EQ(request.prompt_tokens, 120u);
    EXPECT_EQ(request.output_tokens, 7u);
    systems[request.group].insert(parts[0].id);
    questions.insert(parts[1].id);
  }
  EXPECT_EQ(systems.size(), 4u);
  for (const auto& [group, ids] : systems) EXPECT_EQ(ids.size(), 1u) << group;
  EXPECT_EQ(questions.size(), 12u);
}

TEST(B2b, LadderIsThePublishedOne) {
  const Workload workload = plan_synthetic(b2b_settings(1)).value();
  ASSERT_EQ(workload.stages.size(), 17u);
  EXPECT_EQ(workload.stages[0].kind, StageKind::kWarmUp);
  EXPECT_EQ(workload.stages[0].request_count, 750u);
  std::uint32_t measured = 0;
  double length = 0;
  for (const Stage& stage : workload.stages) {
    if (stage.kind != StageKind::kMeasured) continue;
    measured += stage.request_count;
    length += to_seconds(stage.length);
  }
  EXPECT_EQ(measured, 16334u);
  EXPECT_EQ(length, 452);
  EXPECT_EQ(workload.stages[3].pause_after, seconds(30));
  EXPECT_EQ(workload.stages[16].pause_after, seconds(0));
  EXPECT_EQ(workload.stages[16].rate, 60);
  EXPECT_EQ(workload.requests[5].prompt_tokens, 7200u);
  EXPECT_EQ(workload.parts.size(), 1500u);
}

TEST(UniquePrompts, ShareNothing) {
  SyntheticSettings settings;
  settings.prompts = UniquePrompts{64, 3};
  settings.loop = ClosedLoop{4, 50, {}};
  const Workload workload = plan_synthetic(settings).value();
  std::set<std::uint64_t> ids;
  for (const PromptPart& part : workload.parts) ids.insert(part.id);
  EXPECT_EQ(ids.size(), 50u);
  EXPECT_EQ(workload.stages.at(0).concurrency, 4u);
}

TEST(Synthetic, MeaninglessSettingsAreRefused) {
  SyntheticSettings settings = small_shared();
  std::get<OpenLoop>(settings.loop).stages[1].rate = 0.1;
  EXPECT_EQ(plan_synthetic(settings).error().message,
            "stage 2 sends no request: rate 0.1 /s x 4.000 s must be at least 1");
  settings = small_shared();
  std::get<SharedPrefixPrompts>(settings.prompts).groups = 0;
  EXPECT_EQ(plan_synthetic(settings).error().message,
            "groups x prompts per group is 0; it must be 1..10000000");
  settings = small_shared();
  settings.loop = ClosedLoop{0, 5, {}};
  EXPECT_FALSE(plan_synthetic(settings).has_value());
}

}  // namespace
}  // namespace fairlead::load
