// SPDX-License-Identifier: Apache-2.0
// OverloadMonitor: reads the process's resources every kSampleInterval, lets core/admission decide
// what to do about them, and publishes the actions in OverloadState, with metrics and a log line
// for each change.
//
//   OverloadMonitor monitor(loop, router);  // From here on its timer runs.
//
// Memory is resident memory, of the limit in limits.overload.memoryBytes or of nine tenths of what
// the control group or the machine has. Descriptors are counted in the kernel every
// kRecountInterval, and in between by the sockets that come and go. A worker's lag counts once two
// samples in a row have seen it, as the whole process may have been stopped for a while.
// Errors: a reading that fails is no pressure. Threads: the loop's thread.
// Sources: proc(5), cgroups(7), getrlimit(2), malloc_trim(3).
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/metrics.h"
#include "core/admission/overload.h"
#include "io/net/event_loop.h"
#include "router/router.h"

namespace fairlead::router {

class OverloadMonitor {
 public:
  static constexpr Duration kSampleInterval = std::chrono::milliseconds(100);
  static constexpr Duration kRecountInterval = std::chrono::seconds(10);
  static constexpr Duration kTrimInterval = std::chrono::seconds(1);

  OverloadMonitor(net::EventLoop& loop, Router& router);

  // Reads and decides now; the timer does it by itself.
  void sample();

 private:
  admission::Readings read(const config::LimitSettings& limits);
  admission::Use read_descriptors();
  std::uint64_t read_lag();
  void tell(admission::OverloadActions next, const admission::Pressures& pressures,
            const admission::Readings& readings);
  void trim(const admission::Pressures& pressures, const config::OverloadSettings& settings);

  net::EventLoop& loop_;
  Router& router_;
  std::uint64_t memory_auto_;  // Bytes that count as full when nothing else is configured.
  std::uint64_t lag_before_ = 0;
  std::uint64_t other_descriptors_ = 0;  // Open beside the sockets of clients and engines.
  Time recount_at_;
  Time trim_at_;
  std::array<Time, admission::kOverloadActionCount> began_{};
  std::array<Gauge*, admission::kResourceCount> pressure_{};
  std::array<Gauge*, admission::kOverloadActionCount> active_{};
  net::Timer timer_;
};

// What the control groups of a process allow it, of all that their files say; the texts are those
// of /proc/self/cgroup and of a file by its path, empty where there is none. 0: no limit.
using ReadText = std::string (*)(const std::string& path);
std::uint64_t control_group_memory(ReadText read);

}  // namespace fairlead::router
