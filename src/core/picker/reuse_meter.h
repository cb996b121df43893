// SPDX-License-Identifier: Apache-2.0
// ReuseMeter: how likely a computed prompt token is found again, learnt from this worker's own
// placements: the share of the prompt tokens lately placed that were cached where they went. And
// how much a prompt brings that nobody holds. What old placements say fades by 1/e in kMemory
// requests, or kMemory such prompts.
// Units: tokens. Threads: thread-compatible.
#pragma once

#include <algorithm>

namespace fairlead::picker {

class ReuseMeter {
 public:
  // In the beginning nothing is cached, which says nothing of what will be. And the first
  // placements of prefixes stay for as long as they live: it is believed that they will be used.
  static constexpr double kAtFirst = 0.9;
  static constexpr double kMemory = 500;  // Requests.

  void placed(double cached, double computed) {
    if (total_ == 0) {
      total_ = kMemory * (cached + computed);
      cached_ = kAtFirst * total_;
    }
    cached_ += cached - cached_ / kMemory;
    total_ += cached + computed - total_ / kMemory;
  }
  // A prompt that nobody held.
  void placed_cold(double computed) {
    cold_count_ = std::min(cold_count_ + 1, kMemory);
    cold_mean_ += (computed - cold_mean_) / cold_count_;
  }
  // 0 before the first one.
  float cold_tokens() const { return static_cast<float>(cold_mean_); }
  // In [0, 1].
  float share() const { return static_cast<float>(total_ == 0 ? kAtFirst : cached_ / total_); }

 private:
  double cached_ = 0;
  double total_ = 0;
  double cold_count_ = 0;
  double cold_mean_ = 0;
};

}  // namespace fairlead::picker
