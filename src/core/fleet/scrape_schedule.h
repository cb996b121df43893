// SPDX-License-Identifier: Apache-2.0
// ScrapeSchedule: which endpoints are scraped when. A round asks each of them once, in an interval,
// and is cut into batches: answers that come together share wake-ups, which costs a quarter of
// asking evenly (docs/metrics-fleet.md), while one batch of thousands would hold up control's loop.
// The time from batch to batch is moved by up to a tenth at random, so that no two routers, and no
// router and engine, stay in step.
// Members are named by their slots, so that joining and leaving between batches disturbs nobody.
// Pure; thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/random.h"
#include "base/time.h"

namespace fairlead::fleet {

class ScrapeSchedule {
 public:
  static constexpr std::size_t kBatchMin = 100;  // A round of fewer endpoints is one batch.
  static constexpr Duration kBatchGapMin = std::chrono::milliseconds(10);
  // A failing endpoint is asked half as often after each failure, down to this, or to the interval
  // if that is longer.
  static constexpr Duration kBackOffMax = std::chrono::seconds(1);

  explicit ScrapeSchedule(Random random) : random_(random) {}

  // The next batch is due now, whatever the interval was.
  void restart(Time now) { next_ = now; }
  Time next() const { return next_; }

  struct Batch {
    std::uint32_t from_slot;
    std::size_t members;  // The first so many of those in rising order of slots.
  };
  // The batch that is due of a fleet of `members`, or nothing yet.
  std::optional<Batch> take(Time now, std::size_t members, Duration interval);
  // Tells where the batch that was taken ended: the slot behind its last member.
  void taken(std::uint32_t end_slot) { from_slot_ = end_slot; }

  // When an endpoint that failed `failures` times in a row may be asked again.
  static Time retry_at(Time now, unsigned failures, Duration interval);

 private:
  Random random_;
  Time next_{};
  std::size_t batches_ = 1;  // Of this round.
  std::size_t batch_ = 0;    // Of them, taken.
  std::size_t batch_size_ = 0;
  std::uint32_t from_slot_ = 0;
};

}  // namespace fairlead::fleet
