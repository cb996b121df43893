// SPDX-License-Identifier: Apache-2.0
// TurnPacer: when a loop relays so many stream pieces that waiting briefly gathers several, it says
// how long the next turn may wait for company. A piece relayed alone costs a wake-up, a receive and
// a send in the kernel, several times our own work; pieces that came together share them
// (docs/adr/0006-turn-pacing.md).
//
//   pacer.on_piece();                           // Each time bytes inside a stream passed.
//   const Duration pause = pacer.end_turn(now);  // Sleep so long before the next wait.
//
// At a low rate it never says to wait: a piece without company gains nothing from waiting.
// Threads: one. Pure: time is an argument.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace fairlead::net {

class TurnPacer {
 public:
  // The longest a piece may wait; zero turns pacing off.
  void set_pause(Duration pause) { pause_ = pause; }
  void on_piece() { ++turn_pieces_; }
  // `began` is when this turn's events were taken. Zero: wait for events as usual.
  Duration end_turn(Time began);
  std::uint64_t pauses() const { return pauses_; }

 private:
  // The rate is measured over windows this long, so a change is noticed within two of them.
  static constexpr Duration kWindow = std::chrono::milliseconds(4);
  // Pieces that one pause must gather on average to be worth its own system call.
  static constexpr std::uint64_t kCompany = 2;

  void measure(Time now);

  Duration pause_{0};
  Time window_began_{};
  std::uint64_t window_pieces_ = 0;
  std::uint64_t turn_pieces_ = 0;
  std::uint64_t pauses_ = 0;
  bool busy_ = false;
};

}  // namespace fairlead::net
