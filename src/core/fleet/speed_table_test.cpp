// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/speed_table.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/random.h"

namespace fairlead::fleet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SpeedTableTest : public ::testing::Test {
 protected:
  // Prompts come at random and are computed one after the other; slot s takes slow(s) times as
  // long.
  void serve(int prompts, const std::function<double(std::uint32_t)>& slow) {
    Time free[kSlots] = {};
    for (int i = 0; i < prompts; ++i) {
      const auto slot = static_cast<std::uint32_t>(random_.below(kSlots));
      const double tokens = 50 + 8000 * random_.uniform() * random_.uniform();
      now_ += milliseconds(random_.below(400));
      const double step_s = (0.02 + tokens / 20'000) * slow(slot) * (0.7 + 0.6 * random_.uniform());
      free[slot] = std::max(free[slot], now_) + from_seconds(step_s);
      table_.first_token(slot, now_, tokens, free[slot]);
    }
    for (const Time at : free) now_ = std::max(now_, at);
  }
  float slowness(std::uint32_t slot) const { return table_.slowness(slot, now_); }

  static constexpr std::uint32_t kSlots = 4;
  SpeedTable table_;
  Random random_{7};
  Time now_{seconds(10)};
};

TEST_F(SpeedTableTest, EqualEndpointsAreEqual) {
  EXPECT_EQ(slowness(0), 1);
  serve(2'000, [](std::uint32_t) { return 1.0; });
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) EXPECT_EQ(slowness(slot), 1) << slot;
}

TEST_F(SpeedTableTest, ASlowEndpointIsFoundOutWhateverPromptsItGets) {
  serve(2'000, [](std::uint32_t slot) { return slot == 2 ? 3.0 : 1.0; });
  // Beside the mean of all, of which it is a quarter.
  EXPECT_NEAR(slowness(2) / slowness(0), 3, 0.6);
  EXPECT_NEAR(slowness(0), slowness(1), 0.05);
}

TEST_F(SpeedTableTest, ShortPromptsDoNotMakeAnEndpointSlow) {
  for (int i = 0; i < 4'000; ++i) {
    const std::uint32_t slot = static_cast<std::uint32_t>(i) % kSlots;
    const double tokens = slot == 0 ? 60 : 6'000;
    now_ += seconds(1);
    table_.first_token(slot, now_, tokens, now_ + from_seconds(0.03 + tokens / 20'000));
  }
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) EXPECT_EQ(slowness(slot), 1) << slot;
}

TEST_F(SpeedTableTest, TheQueueAheadIsNotThePromptsOwnTime) {
  // All of a burst are sent at once to one endpoint, and come out one after the other.
  for (int i = 0; i < 300; ++i) {
    const Time sent = now_;
    for (int k = 1; k <= 10; ++k) {
      now_ += milliseconds(100);
      table_.first_token(0, sent, 2'000, now_);
    }
    for (std::uint32_t slot = 1; slot < kSlots; ++slot) {
      table_.first_token(slot, sent, 2'000, sent + milliseconds(100));
    }
    now_ += seconds(1);
  }
  EXPECT_EQ(slowness(0), 1);
}

TEST_F(SpeedTableTest, WhatWasSeenIsBelievedLessAndLess) {
  serve(2'000, [](std::uint32_t slot) { return slot == 2 ? 4.0 : 1.0; });
  const float at_first = slowness(2);
  EXPECT_NEAR(table_.slowness(2, now_ + SpeedTable::kHalfLife), std::sqrt(at_first), 0.2);
  EXPECT_NEAR(table_.slowness(2, now_ + seconds(3600)), 1, 1e-3);
}

TEST_F(SpeedTableTest, AnotherOwnerOfTheSlotBeginsAnew) {
  serve(2'000, [](std::uint32_t slot) { return slot == 2 ? 4.0 : 1.0; });
  table_.forget(2);
  EXPECT_EQ(slowness(2), 1);
}

TEST_F(SpeedTableTest, ClocksThatStandStillOrGoBackDoNoHarm) {
  for (int i = 0; i < 200; ++i) {
    table_.first_token(0, now_, 1'000, now_ - seconds(1));
    table_.first_token(1, now_, 0, now_);
  }
  for (std::uint32_t slot = 0; slot < 2; ++slot) {
    EXPECT_GE(slowness(slot), 1 / SpeedTable::kMost);
    EXPECT_LE(slowness(slot), SpeedTable::kMost);
  }
}

}  // namespace
}  // namespace fairlead::fleet
