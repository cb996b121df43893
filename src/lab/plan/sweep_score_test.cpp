// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/sweep_score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace fairlead::plan {
namespace {

RunFigures figures(std::uint64_t seed, double mean, double p95, double p99,
                   std::uint64_t failed = 0) {
  RunFigures run;
  run.seed = seed;
  run.ttft.mean = mean;
  run.ttft.percentiles[8] = p95;
  run.ttft.percentiles[9] = p99;
  run.failed = failed;
  return run;
}

TEST(SweepScore, IsOverTheBestRivalOfEachFigureWorkloadAndSeed) {
  const RunGrid rivals[] = {{{figures(7, 1, 4, 4), figures(8, 2, 2, 2)}, {figures(7, 1, 1, 1)}},
                            {{figures(7, 2, 2, 8), figures(8, 1, 1, 1)}, {figures(7, 4, 4, 4)}}};
  const auto marks = marks_of(rivals);
  ASSERT_TRUE(marks.has_value());
  EXPECT_EQ((*marks)[0][0].best, (Scored{1, 2, 4}));
  // Ratios: (2, 1, 1) and (1, 1, 1/2); (1/2, 1, 4).
  const RunGrid ours = {{figures(7, 2, 2, 4), figures(8, 1, 1, 0.5)}, {figures(7, 0.5, 1, 4)}};
  const Score got = score(ours, *marks, 1);
  EXPECT_NEAR(got.workloads[0][0], std::sqrt(2), 1e-12);
  EXPECT_NEAR(got.workloads[0][2], std::sqrt(0.5), 1e-12);
  // The first workload's mean is 1, the second's the third root of 2: they weigh alike.
  EXPECT_NEAR(got.geometric_mean, std::pow(2, 1 / 6.0), 1e-12);
  EXPECT_NEAR(got.worst_workload.ratio, 4, 1e-12);
  EXPECT_EQ(got.worst_workload.workload, 1U);
  EXPECT_EQ(got.worst_workload.figure, 2U);
  EXPECT_NEAR(got.worst_seed.ratio, std::pow(2, 1 / 3.0), 1e-12);
  EXPECT_EQ(got.worst_seed.seed, 7U);
  EXPECT_LE(got.interval.low, got.geometric_mean);
  EXPECT_GE(got.interval.high, got.geometric_mean);
}

TEST(SweepScore, LettingRequestsFailIsNoWayToBeFast) {
  const RunGrid rivals[] = {{{figures(1, 1, 1, 1, 2)}}, {{figures(1, 0.1, 0.1, 0.1, 3)}}};
  const auto marks = marks_of(rivals);
  ASSERT_TRUE(marks.has_value());
  EXPECT_EQ((*marks)[0][0].best, (Scored{1, 1, 1})) << "the faster rival failed more";
  const Score more = score({{figures(1, 0.1, 0.1, 0.1, 5)}}, *marks, 1);
  EXPECT_EQ(more.failed_more, 3U);
  EXPECT_TRUE(std::isinf(objectives(more).geometric_mean));
  EXPECT_EQ(objectives(score({{figures(1, 0.5, 0.5, 0.5, 2)}}, *marks, 1)).worst, 0.5);
  const RunGrid dead[] = {{{figures(1, 0, 0, 0, 9)}}};
  EXPECT_FALSE(marks_of(dead).has_value());
}

TEST(ParetoRanks, ByHand) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  const Objectives all[] = {{1, 4}, {2, 2}, {4, 1}, {2, 3}, {3, 3}, {2, 2}, {kInfinite, kInfinite}};
  EXPECT_EQ(pareto_ranks(all), (std::vector<std::uint32_t>{0, 0, 0, 1, 2, 0, 3}))
      << "equals do not dominate each other";
  EXPECT_TRUE(pareto_ranks({}).empty());
}

}  // namespace
}  // namespace fairlead::plan
