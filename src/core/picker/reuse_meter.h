// SPDX-License-Identifier: Apache-2.0
// ReuseMeter: how likely a computed prompt token is found again, learnt from this worker's own
// placements: the share of the prompt tokens lately placed that were cached where they went. What
// old placements say fades by 1/e in kMemory requests.
// Units: tokens. Threads: thread-compatible.
#pragma once

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
  // In [0, 1].
  float share() const { return static_cast<float>(total_ == 0 ? kAtFirst : cached_ / total_); }

 private:
  double cached_ = 0;
  double total_ = 0;
};

}  // namespace fairlead::picker
