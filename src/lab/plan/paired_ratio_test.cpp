// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/paired_ratio.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace fairlead::plan {
namespace {

TEST(PairedRatio, MeansAreOfRatiosAndMultiply) {
  const double ratios[] = {0.5, 4, 1, 0.5};
  const PairedRatio paired = paired_ratio(ratios, 1);
  EXPECT_NEAR(paired.mean, 1, 1e-12) << "twice a half and four times make no difference";
  EXPECT_NEAR(paired.median, std::sqrt(0.5), 1e-12);
  EXPECT_DOUBLE_EQ(paired.worst, 4);
  EXPECT_DOUBLE_EQ(paired_ratio(std::span(ratios, 3), 1).median, 1);
}

TEST(PairedRatio, OneSeedIsItsOwnInterval) {
  const double ratios[] = {0.75};
  const PairedRatio paired = paired_ratio(ratios, 1);
  EXPECT_NEAR(paired.interval.low, 0.75, 1e-12);
  EXPECT_NEAR(paired.interval.high, 0.75, 1e-12);
}

std::vector<double> noisy(Random& random, std::size_t count, double sigma) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < count; ++i) ratios.push_back(std::exp(sigma * random.normal()));
  return ratios;
}

// The mean of the logarithms of n draws is within 1.96 sigma / sqrt(n) in 95 of 100.
TEST(RatioInterval, HoldsTheTruthAboutAsOftenAsItSays) {
  constexpr int kTrials = 400;
  Random random(7);
  int held = 0;
  double width = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const std::vector<double> ratios = noisy(random, 30, 0.2);
    const Interval interval = ratio_interval(std::span(&ratios, 1), random.next());
    if (interval.low <= 1 && 1 <= interval.high) ++held;
    width += (std::log(interval.high) - std::log(interval.low)) / kTrials;
  }
  EXPECT_GT(held, kTrials * 90 / 100);
  EXPECT_LT(held, kTrials * 98 / 100);
  EXPECT_NEAR(width, 2 * 1.96 * 0.2 / std::sqrt(30), 0.01);
}

TEST(RatioInterval, SeedsAreDrawnWithinTheirWorkload) {
  // Workloads differ by far, seeds of one not at all: nothing is left to chance.
  const std::vector<double> groups[] = {{0.5, 0.5, 0.5}, {2, 2, 2}};
  const Interval interval = ratio_interval(groups, 1);
  EXPECT_NEAR(interval.low, 1, 1e-12);
  EXPECT_NEAR(interval.high, 1, 1e-12);
}

TEST(RatioInterval, TheSameSeedGivesTheSameBytes) {
  Random random(1);
  const std::vector<double> ratios = noisy(random, 5, 0.3);
  const auto once = ratio_interval(std::span(&ratios, 1), 3);
  const auto again = ratio_interval(std::span(&ratios, 1), 3);
  const auto other = ratio_interval(std::span(&ratios, 1), 4);
  EXPECT_EQ(once.low, again.low);
  EXPECT_EQ(once.high, again.high);
  EXPECT_NE(once.low + once.high, other.low + other.high);
}

}  // namespace
}  // namespace fairlead::plan
