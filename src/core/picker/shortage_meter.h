// SPDX-License-Identifier: Apache-2.0
// ShortageMeter: how likely what is pushed out of the pool's caches is asked for again: of the
// tokens lately computed, each of which pushed out another, the share that twice the memory would
// still have held. What old placements say fades by 1/e in kMemory requests. Units: tokens.
// Threads: thread-compatible.
#pragma once

#include <algorithm>

namespace fairlead::picker {

class ShortageMeter {
 public:
  static constexpr double kMemory = 500;  // Requests.

  void placed(double lost, double computed) {
    // In the beginning there is room.
    if (computed_ == 0) computed_ = kMemory * computed;
    lost_ += lost - lost_ / kMemory;
    computed_ += computed - computed_ / kMemory;
  }
  // In [0, 1]; a sample may find more than was computed.
  float share() const {
    return static_cast<float>(computed_ == 0 ? 0 : std::min(1.0, lost_ / computed_));
  }

 private:
  double lost_ = 0;
  double computed_ = 0;
};

}  // namespace fairlead::picker
