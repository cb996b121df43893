// SPDX-License-Identifier: Apache-2.0
// GapHistogram: how long tokens waited for each other, over a whole run: counts in buckets a
// sixty-fourth of an octave wide, so that a figure read from it is right to 1.1 %.
// Units: seconds. Values; thread-compatible. Failure: none; what is shorter than 1 us or longer
// than an hour counts as that.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "lab/load/model/distribution.h"

namespace fairlead::world {

class GapHistogram {
 public:
  void add(double seconds, std::uint64_t tokens) {
    const double octaves = std::log2(std::clamp(seconds, kLeast, kMost) / kLeast);
    counts_[static_cast<std::size_t>(octaves * kPerOctave)] += tokens;
  }

  load::Distribution describe() const {
    std::vector<load::WeightedValue> values;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (counts_[i] == 0) continue;
      values.push_back(
          {kLeast * std::exp2((static_cast<double>(i) + 0.5) / kPerOctave), counts_[i]});
    }
    return load::describe(values);
  }

 private:
  static constexpr double kLeast = 1e-6;
  static constexpr double kMost = 3600;
  static constexpr double kPerOctave = 64;
  std::array<std::uint64_t, 2048> counts_{};  // 32 octaves: 1 us to 4,294 s.
};

}  // namespace fairlead::world
