// SPDX-License-Identifier: Apache-2.0
// StepClock: when each engine acts next, and which is the first: a tournament tree over one time an
// engine, so that a change costs one comparison a level. Of equal times the lower engine is first.
// Threads: a value.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/time.h"

namespace fairlead::world {

class StepClock {
 public:
  // No engine acts until set() says when.
  explicit StepClock(std::uint32_t engines)
      : leaves_(std::bit_ceil(std::max<std::size_t>(engines, 2))),
        times_(leaves_, Time::max()),
        first_(2 * leaves_) {
    for (std::size_t leaf = 0; leaf < leaves_; ++leaf) {
      first_[leaves_ + leaf] = static_cast<std::uint32_t>(leaf);
    }
    for (std::size_t node = leaves_ - 1; node > 0; --node) first_[node] = first_[2 * node];
  }

  // Time::max(): not by itself.
  void set(std::uint32_t engine, Time at) {
    times_[engine] = at;
    for (std::size_t node = (leaves_ + engine) / 2; node > 0; node /= 2) {
      const std::uint32_t left = first_[2 * node];
      const std::uint32_t right = first_[2 * node + 1];
      first_[node] = times_[right] < times_[left] ? right : left;
    }
  }

  std::uint32_t engine() const { return first_[1]; }
  Time at() const { return times_[first_[1]]; }

 private:
  std::size_t leaves_;
  std::vector<Time> times_;           // By engine.
  std::vector<std::uint32_t> first_;  // By node, the root at 1: the first engine below it.
};

}  // namespace fairlead::world
