// SPDX-License-Identifier: Apache-2.0
// Paired ratios: a figure of one policy over the same figure of another, seed by seed, so that what
// a seed does to both cancels out, and how sure their mean is.
//
// Means are geometric, because a ratio of 0.5 and one of 2 make no difference together. Intervals
// are of the percentile bootstrap: seeds are drawn again with replacement, kResamples times. With
// few seeds they are too narrow rather than too wide; with one they are that one value.
// Ratios are above 0; infinite ones give infinite means. Pure; the same seed gives the same bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fairlead::plan {

inline constexpr std::uint32_t kResamples = 2000;

struct Interval {
  double low = 0;
  double high = 0;
};

struct PairedRatio {
  double mean = 0;    // Geometric.
  double median = 0;  // Of an even number of seeds: the geometric mean of the middle two.
  double worst = 0;   // The greatest.
  Interval interval;  // 95 % of the mean.
};

// At least one ratio.
double geometric_mean(std::span<const double> ratios);

// Of one workload's ratios, one a seed, at least one.
PairedRatio paired_ratio(std::span<const double> ratios, std::uint64_t seed);

// 95 % of the geometric mean of the groups' geometric means. A group is a workload's ratios by
// seed; seeds are drawn again within each, because a seed of one workload says nothing of
// another's.
Interval ratio_interval(std::span<const std::vector<double>> groups, std::uint64_t seed);

}  // namespace fairlead::plan
