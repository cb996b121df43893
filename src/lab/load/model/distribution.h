// SPDX-License-Identifier: Apache-2.0
// Distribution: exact moments and percentiles of a finished set of values.
// Interpolation: percentile p of n sorted values lies at rank p/100 x (n - 1); between two ranks it
// is linear (the default of NumPy and of inference-perf). A weight w counts as w equal values.
// Units are the caller's. Values; thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fairlead::load {

inline constexpr std::array<double, 11> kPercentiles = {0.1, 1,  5,  10, 25,  50,
                                                        75,  90, 95, 99, 99.9};

struct WeightedValue {
  double value = 0;
  std::uint64_t weight = 1;
};

struct Distribution {
  std::uint64_t count = 0;  // With 0 every other figure is 0.
  double mean = 0;
  double min = 0;
  double max = 0;
  std::array<double, kPercentiles.size()> percentiles{};  // In the order of kPercentiles.

  double p50() const { return percentiles[5]; }
  double p90() const { return percentiles[7]; }
  double p95() const { return percentiles[8]; }
  double p99() const { return percentiles[9]; }
};

// Both sort `values` in place.
Distribution describe(std::span<double> values);
Distribution describe(std::span<WeightedValue> values);

}  // namespace fairlead::load
