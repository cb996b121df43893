// SPDX-License-Identifier: Apache-2.0
// SteadyClock: the machine's monotonic clock (nanoseconds since boot, CLOCK_MONOTONIC) behind the
// Clock port. Threads: thread-safe.
#pragma once

#include "base/time.h"

namespace fairlead::net {

class SteadyClock final : public Clock {
 public:
  Time now() const override;
  double unix_seconds() const override;
};

// Processor time that the calling thread has had, user's and kernel's.
double thread_cpu_seconds();

}  // namespace fairlead::net
