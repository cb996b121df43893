// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/scrape_schedule.h"

#include <algorithm>
#include <limits>

namespace fairlead::fleet {

std::optional<ScrapeSchedule::Batch> ScrapeSchedule::take(Time now, std::size_t members,
                                                          Duration interval) {
  if (now < next_) return std::nullopt;
  if (batch_ == 0) {
    const auto most = static_cast<std::size_t>(std::max<std::int64_t>(1, interval / kBatchGapMin));
    batches_ = std::clamp((members + kBatchMin - 1) / kBatchMin, std::size_t{1}, most);
    batch_size_ = (members + batches_ - 1) / batches_;
    from_slot_ = 0;
  }
  const bool last = batch_ + 1 == batches_;
  batch_ = last ? 0 : batch_ + 1;
  const Duration gap = interval / static_cast<std::int64_t>(batches_);
  const Duration step = from_seconds(to_seconds(gap) * (0.9 + 0.2 * random_.uniform()));
  // From when it was due, so that late ticks do not stretch the interval; but nothing is made up
  // for after a pause.
  next_ = now < next_ + step ? next_ + step : now + step;
  // Who joined within the round is in its last batch.
  return Batch{from_slot_, last ? std::numeric_limits<std::size_t>::max() : batch_size_};
}

Time ScrapeSchedule::retry_at(Time now, unsigned failures, Duration interval) {
  const Duration most = std::max(interval, kBackOffMax);
  Duration wait = interval;
  for (unsigned i = 0; i < failures && wait < most; ++i) wait *= 2;
  // Half an interval early, so that the round meant is not missed by its jitter.
  return now + std::min(wait, most) - interval / 2;
}

}  // namespace fairlead::fleet
