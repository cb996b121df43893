// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/arrival_law.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lab/load/model/quantity.h"

namespace fairlead::load {
namespace {

using Kind = ArrivalLaw::Kind;

struct Gaps {
  double mean = 0;
  double cv = 0;
};

Gaps gaps_of(const std::vector<double>& times) {
  double sum = 0, squares = 0;
  for (std::size_t i = 1; i < times.size(); ++i) {
    const double gap = times[i] - times[i - 1];
    sum += gap;
    squares += gap * gap;
  }
  const double n = static_cast<double>(times.size() - 1);
  const double mean = sum / n;
  return {mean, std::sqrt(squares / n - mean * mean) / mean};
}

TEST(ArrivalLaw, GapsHaveTheirMeanAndCv) {
  for (const Kind kind : {Kind::kGamma, Kind::kWeibull}) {
    for (const double cv : {0.3, 1.0, 3.0}) {
      Random random(5);
      const auto times = arrivals_between({.kind = kind, .cv = cv}, 20, 0, 30'000, random);
      const Gaps gaps = gaps_of(times);
      EXPECT_NEAR(gaps.mean * 20, 1, 0.03) << cv;
      EXPECT_NEAR(gaps.cv / cv, 1, 0.05) << cv << " of " << static_cast<int>(kind);
      EXPECT_TRUE(std::ranges::is_sorted(times));
    }
  }
  Random random(5);
  EXPECT_NEAR(gaps_of(arrivals_between({}, 20, 0, 10'000, random)).cv, 1, 0.02);
  EXPECT_NEAR(gaps_of(arrivals_between({.kind = Kind::kConstant}, 20, 0, 10, random)).cv, 0, 1e-6);
}

// A renewal process that begins with an arrival would send (CV^2 - 1) / 2 = 40 too many.
TEST(ArrivalLaw, BurstsDoNotGatherAtTheBegin) {
  Random random(9);
  double count = 0, early = 0;
  constexpr int kRuns = 4000;
  for (int run = 0; run < kRuns; ++run) {
    for (const double at :
         arrivals_between({.kind = Kind::kGamma, .cv = 9}, 0.1, -50, 50, random)) {
      ASSERT_GE(at, -50);
      ASSERT_LT(at, 50);
      ++count;
      early += at < 0 ? 1 : 0;
    }
  }
  EXPECT_NEAR(count / kRuns, 10, 2);
  EXPECT_NEAR(early / count, 0.5, 0.1);
}

TEST(ArrivalLaw, OnAndOffKeepTheMeanRateAndTheRatioOfTheStates) {
  const ArrivalLaw law{.kind = Kind::kOnOff, .on_s = 20, .off_s = 40, .off_rate = 0.2};
  Random random(3);
  const auto times = arrivals_between(law, 21, 0, 200'000, random);
  EXPECT_NEAR(static_cast<double>(times.size()) / 200'000, 21, 0.5);
  // Of seconds, a third lies at 45 arrivals and two thirds at 9: by hand 21 / (1/3 + 2/3 x 0.2).
  std::vector<int> counts(200'000);
  for (const double at : times) ++counts[static_cast<std::size_t>(at)];
  const auto dense = std::ranges::count_if(counts, [](int count) { return count > 24; });
  EXPECT_NEAR(static_cast<double>(dense) / 200'000, 1.0 / 3, 0.03);
  double of_dense = 0;
  for (const int count : counts) of_dense += count > 24 ? count : 0;
  EXPECT_NEAR(of_dense / static_cast<double>(dense), 45, 1.5);
  // Variance over mean of counts a second, 1 for Poisson: by hand 1 + 288 / 21 less the seconds
  // that belong to both states.
  double squares = 0;
  for (const int count : counts) squares += (count - 21.0) * (count - 21.0);
  EXPECT_NEAR(squares / 200'000 / 21, 14, 2);
}

struct Moments {
  double mean = 0;
  double median = 0;
  double least = 0;
  double most = 0;
};

Moments moments_of(std::string_view text, Quantity::Range range = {0, 1e6}) {
  const auto quantity = Quantity::parse(text, range);
  EXPECT_TRUE(quantity.has_value()) << text;
  if (!quantity) return {};
  Random random(11);
  std::vector<double> draws;
  double sum = 0;
  for (int i = 0; i < 40'000; ++i) draws.push_back(quantity->draw(random));
  for (const double draw : draws) sum += draw;
  std::ranges::sort(draws);
  return {sum / 40'000, draws[20'000], draws.front(), draws.back()};
}

TEST(Quantity, LawsHaveWhatIsWritten) {
  EXPECT_EQ(moments_of("1000").least, 1000);
  EXPECT_EQ(moments_of("1000").most, 1000);
  EXPECT_NEAR(moments_of("lognormal mean=4000 sigma=0.8").mean, 4000, 60);
  EXPECT_NEAR(moments_of("lognormal p50=300 p90=900").median, 300, 8);
  const Moments cut = moments_of("lognormal p50=300 p90=900 min=100 max=500");
  EXPECT_EQ(cut.least, 100);
  EXPECT_EQ(cut.most, 500);
  EXPECT_NEAR(moments_of("geometric mean=4").mean, 4, 0.06);
  EXPECT_EQ(moments_of("geometric mean=4").least, 1);
  EXPECT_EQ(moments_of("geometric mean=1").most, 1);
  EXPECT_NEAR(moments_of("exponential mean=45").mean, 45, 0.9);
  EXPECT_NEAR(moments_of("uniform min=10 max=20").mean, 15, 0.1);
}

TEST(Quantity, WholeNumbersOfAUniformLawAreEquallyLikely) {
  const Quantity quantity = Quantity::parse("uniform min=2 max=4", {1, 64}).value();
  Random random(1);
  std::vector<int> seen(5);
  for (int i = 0; i < 30'000; ++i) ++seen[quantity.draw_whole(random)];
  for (const std::size_t value : {2u, 3u, 4u}) EXPECT_NEAR(seen[value], 10'000, 300) << value;
  EXPECT_NEAR(quantity.mean_whole(), 3, 0.02);
}

TEST(Quantity, WhatIsNoLawIsRefusedInWords) {
  const auto refusal = [](std::string_view text) {
    const auto quantity = Quantity::parse(text, {1, 1000});
    return quantity ? std::string("accepted") : quantity.error().message;
  };
  EXPECT_EQ(refusal("0"), "must be from 1 to 1000, is 0");
  EXPECT_EQ(refusal("nan"),
            "must be a number or begin with uniform, lognormal, geometric or exponential");
  EXPECT_EQ(refusal(""), refusal("nan"));
  EXPECT_EQ(refusal("uniform min=5"), "uniform takes min and max");
  EXPECT_EQ(refusal("uniform min=5 max=4"), "min and max must lie in 1..1000, min not above max");
  EXPECT_EQ(refusal("uniform min=5 max=1001"),
            "min and max must lie in 1..1000, min not above max");
  EXPECT_EQ(refusal("geometric mean=0.5"), "geometric takes a mean of at least 1, min and max");
  EXPECT_EQ(refusal("exponential mean=-1"), "exponential takes a mean above 0, min and max");
  EXPECT_EQ(refusal("lognormal mean=5"),
            "lognormal takes mean and sigma, or p50 and a p90 not below it, all above 0");
  EXPECT_EQ(refusal("lognormal p50=5 p90=4"), refusal("lognormal mean=5"));
  EXPECT_EQ(refusal("lognormal mean=5 sigma=1 p50=3"), refusal("lognormal mean=5"));
  EXPECT_EQ(refusal("lognormal mean=5 sigma=6"), "sigma must lie in 0..5, is 6");
  for (const char* text : {"lognormal mean=5 mean=6 sigma=1", "lognormal mean sigma=1",
                           "lognormal mean=x sigma=1", "lognormal size=5"}) {
    EXPECT_EQ(refusal(text),
              "after the law each of mean, sigma, p50, p90, min and max may be given a number "
              "once, as in mean=4");
  }
}

}  // namespace
}  // namespace fairlead::load
