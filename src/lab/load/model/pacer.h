// SPDX-License-Identifier: Apache-2.0
// Pacer: says when the next request of a workload is to be sent. It is the rule of open loops,
// closed loops, stage drains and pauses, shared by the virtual and the real-time driver:
//
//   while (!pacer.done()) {
//     if (pacer.next_due() <= now) { auto issue = pacer.issue(); send it; }
//     else wait for next_due() or for the end of a request, then pacer.finish(now).
//   }
//
// Open loop: a request is due at its planned time, whatever is still running. Closed loop: when one
// of `concurrency` slots is free. A stage ends when all of its requests have ended; the next starts
// `pause_after` later. Times are wall time of the caller's clock (TimeScale converts).
// Thread-compatible. Borrows the workload, which must outlive it.
#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <span>
#include <vector>

#include "base/time.h"
#include "lab/load/model/time_scale.h"
#include "lab/load/model/workload.h"

namespace fairlead::load {

// When a stage really began and ended (the end of its last request), in wall time.
struct StageSpan {
  Time begin{};
  Time end{};
};

class Pacer {
 public:
  struct Issue {
    std::uint32_t request = 0;  // Index in Workload::requests.
    Time scheduled{};           // When it was due; now - scheduled is the schedule delay.
  };

  Pacer(const Workload& workload, TimeScale scale, Time start);

  // Nullopt: nothing is due until a request ends, or everything has been sent.
  std::optional<Time> next_due() const;
  // The next request; next_due() must have a value.
  Issue issue();
  // One issued request has ended, well or not.
  void finish(Time now);
  // All requests of all stages have ended.
  bool done() const { return stage_ == workload_->stages.size(); }

  std::uint32_t in_flight() const { return in_flight_; }
  std::uint32_t stage() const { return stage_; }
  std::span<const StageSpan> spans() const { return spans_; }

 private:
  const Stage& current() const { return workload_->stages[stage_]; }
  bool exhausted(Time now) const;
  void begin_stage(Time begin);
  void end_stage(Time now);

  const Workload* workload_;
  TimeScale scale_;
  std::uint32_t stage_ = 0;
  std::uint32_t sent_ = 0;  // Of the current stage.
  std::uint32_t in_flight_ = 0;
  std::queue<Time> free_slots_;  // Closed loop: since when each unused slot has been free.
  std::vector<StageSpan> spans_;
};

}  // namespace fairlead::load
