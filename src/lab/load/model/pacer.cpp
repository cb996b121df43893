// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/pacer.h"

#include "base/assert.h"

namespace fairlead::load {

Pacer::Pacer(const Workload& workload, TimeScale scale, Time start)
    : workload_(&workload), scale_(scale) {
  FAIRLEAD_ASSERT(scale.speed > 0);
  spans_.reserve(workload.stages.size());
  if (!done()) begin_stage(start);
}

void Pacer::begin_stage(Time begin) {
  sent_ = 0;
  free_slots_ = {};
  for (std::uint32_t slot = 0; slot < current().concurrency; ++slot) free_slots_.push(begin);
  spans_.push_back({begin, begin});
  // A stage without requests has nothing to wait for.
  if (current().request_count == 0) end_stage(begin);
}

void Pacer::end_stage(Time now) {
  spans_.back().end = now;
  const Duration pause = scale_.to_wall(current().pause_after);
  ++stage_;
  if (!done()) begin_stage(now + pause);
}

bool Pacer::exhausted(Time now) const {
  const Stage& stage = current();
  if (sent_ == stage.request_count) return true;
  return stage.concurrency > 0 && stage.length > Duration{} &&
         now >= spans_.back().begin + scale_.to_wall(stage.length);
}

std::optional<Time> Pacer::next_due() const {
  if (done()) return std::nullopt;
  const Stage& stage = current();
  if (stage.concurrency == 0) {
    if (sent_ == stage.request_count) return std::nullopt;
    const PlannedRequest& next = workload_->requests[stage.first_request + sent_];
    return spans_.back().begin + scale_.to_wall(next.at);
  }
  if (free_slots_.empty() || exhausted(free_slots_.front())) return std::nullopt;
  return free_slots_.front();
}

Pacer::Issue Pacer::issue() {
  const std::optional<Time> due = next_due();
  FAIRLEAD_ASSERT(due.has_value());
  if (current().concurrency > 0) free_slots_.pop();
  ++in_flight_;
  return {current().first_request + sent_++, *due};
}

void Pacer::finish(Time now) {
  FAIRLEAD_ASSERT(in_flight_ > 0);
  --in_flight_;
  if (current().concurrency > 0) free_slots_.push(now);
  if (in_flight_ == 0 && exhausted(now)) end_stage(now);
}

}  // namespace fairlead::load
