// SPDX-License-Identifier: Apache-2.0
#include "core/admission/waiting_band.h"

#include "base/assert.h"

namespace fairlead::admission {

bool WaitingBand::offer(std::uint32_t id, Time now) {
  FAIRLEAD_ASSERT(!waits(id));
  if (size_ >= limits_.waiting_max) return false;
  if (id >= links_.size()) links_.resize(std::size_t{id} + 1);
  links_[id] = {last_, kNone, now, true};
  (last_ == kNone ? first_ : links_[last_].after) = id;
  last_ = id;
  ++size_;
  return true;
}

bool WaitingBand::leave(std::uint32_t id) {
  if (!waits(id)) return false;
  Link& gone = links_[id];
  (gone.before == kNone ? first_ : links_[gone.before].after) = gone.after;
  (gone.after == kNone ? last_ : links_[gone.after].before) = gone.before;
  gone = {};
  --size_;
  return true;
}

std::optional<std::uint32_t> WaitingBand::first() const {
  return first_ == kNone ? std::nullopt : std::optional(first_);
}

bool WaitingBand::due(std::uint32_t id, Time now) const {
  return waited(id, now) >= limits_.patience;
}

Duration WaitingBand::waited(std::uint32_t id, Time now) const {
  FAIRLEAD_ASSERT(waits(id));
  return now - links_[id].since;
}

}  // namespace fairlead::admission
