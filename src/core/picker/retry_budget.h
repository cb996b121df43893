// SPDX-License-Identifier: Apache-2.0
// RetryBudget: bounds retries to a share of the requests, so that a failing pool is not drowned in
// its own retries. Every request deposits `ratio` of a retry, time deposits `per_second`; the
// balance is capped at ten seconds of the latter plus ten. Thread-compatible.
#pragma once

#include <algorithm>

#include "base/time.h"

namespace fairlead::picker {

class RetryBudget {
 public:
  RetryBudget(double ratio, double per_second)
      : ratio_(ratio), per_second_(per_second), cap_(10 * per_second + 10), balance_(cap_) {}

  void on_request(Time now) {
    refill(now);
    balance_ = std::min(cap_, balance_ + ratio_);
  }

  // Takes one retry out of the budget; false when it is spent.
  bool take(Time now) {
    refill(now);
    if (balance_ < 1) return false;
    balance_ -= 1;
    return true;
  }

  // Gives back what take() took, when there was nowhere left to try.
  void refund() { balance_ = std::min(cap_, balance_ + 1); }

 private:
  void refill(Time now) {
    if (now > last_) balance_ = std::min(cap_, balance_ + per_second_ * to_seconds(now - last_));
    last_ = std::max(last_, now);
  }

  double ratio_;
  double per_second_;
  double cap_;
  double balance_;
  Time last_{};
};

}  // namespace fairlead::picker
