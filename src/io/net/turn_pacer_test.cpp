// SPDX-License-Identifier: Apache-2.0
#include "io/net/turn_pacer.h"

#include <gtest/gtest.h>

namespace fairlead::net {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Turns `gap` apart with `pieces` each; the sum of the pauses that were said.
Duration pauses(TurnPacer& pacer, Duration gap, int pieces, int turns) {
  static Time now{std::chrono::hours(1)};
  Duration sum{0};
  for (int i = 0; i < turns; ++i) {
    now += gap;
    for (int k = 0; k < pieces; ++k) pacer.on_piece();
    sum += pacer.end_turn(now);
  }
  return sum;
}

TEST(TurnPacer, WaitsWhenAPauseGathersCompany) {
  TurnPacer pacer;
  pacer.set_pause(microseconds(500));
  pauses(pacer, microseconds(100), 1, 100);  // The first windows measure.
  EXPECT_EQ(pauses(pacer, microseconds(100), 1, 100), microseconds(500) * 100);
  EXPECT_GE(pacer.pauses(), 100U);
}

TEST(TurnPacer, NeverWaitsAtALowRate) {
  TurnPacer pacer;
  pacer.set_pause(microseconds(500));
  EXPECT_EQ(pauses(pacer, microseconds(300), 1, 1000), Duration::zero());
  EXPECT_EQ(pauses(pacer, milliseconds(10), 1, 1000), Duration::zero());
}

TEST(TurnPacer, NeverWaitsAfterATurnWithoutPieces) {
  TurnPacer pacer;
  pacer.set_pause(microseconds(500));
  pauses(pacer, microseconds(100), 4, 100);
  EXPECT_EQ(pauses(pacer, microseconds(100), 0, 10), Duration::zero());
}

TEST(TurnPacer, ForgetsABurstThatIsOver) {
  TurnPacer pacer;
  pacer.set_pause(microseconds(500));
  pauses(pacer, microseconds(100), 4, 100);
  // The first piece after the silence is measured together with the silence.
  EXPECT_EQ(pauses(pacer, milliseconds(20), 1, 5), Duration::zero());
}

TEST(TurnPacer, ZeroTurnsItOff) {
  TurnPacer pacer;
  pacer.set_pause(Duration::zero());
  EXPECT_EQ(pauses(pacer, microseconds(10), 50, 1000), Duration::zero());
  EXPECT_EQ(pacer.pauses(), 0U);
}

}  // namespace
}  // namespace fairlead::net
