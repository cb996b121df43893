// SPDX-License-Identifier: Apache-2.0
#include "io/net/turn_pacer.h"

namespace fairlead::net {

Duration TurnPacer::end_turn(Time began) {
  if (turn_pieces_ == 0) return Duration::zero();
  window_pieces_ += turn_pieces_;
  turn_pieces_ = 0;
  if (began - window_began_ >= kWindow) measure(began);
  if (!busy_) return Duration::zero();
  ++pauses_;
  return pause_;
}

void TurnPacer::measure(Time now) {
  // pieces / elapsed × pause >= company, without a division.
  const auto elapsed = static_cast<std::uint64_t>((now - window_began_).count());
  const auto pause = static_cast<std::uint64_t>(pause_.count());
  busy_ = window_pieces_ * pause >= kCompany * elapsed && pause > 0;
  window_began_ = now;
  window_pieces_ = 0;
}

}  // namespace fairlead::net
