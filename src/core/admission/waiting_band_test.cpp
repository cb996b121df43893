// SPDX-License-Identifier: Apache-2.0
#include "core/admission/waiting_band.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "base/random.h"

namespace fairlead::admission {
namespace {

using std::chrono::seconds;

TEST(WaitingBand, IsFirstComeFirstServedAndBounded) {
  WaitingBand band;
  EXPECT_FALSE(band.offer(3, Time{}));
  band.set_limits({2, seconds(5)});
  EXPECT_FALSE(band.first());
  EXPECT_TRUE(band.offer(3, Time{}));
  EXPECT_TRUE(band.offer(0, Time{} + seconds(1)));
  EXPECT_FALSE(band.offer(1, Time{} + seconds(1)));
  EXPECT_FALSE(band.waits(1));
  EXPECT_EQ(band.first(), 3U);
  EXPECT_TRUE(band.leave(3));
  EXPECT_FALSE(band.leave(3));
  EXPECT_EQ(band.first(), 0U);
  EXPECT_EQ(band.size(), 1U);
  EXPECT_EQ(band.waited(0, Time{} + seconds(4)), seconds(3));
}

TEST(WaitingBand, PatienceEndsAtItsBound) {
  WaitingBand band;
  band.set_limits({2, seconds(5)});
  ASSERT_TRUE(band.offer(7, Time{} + seconds(1)));
  EXPECT_FALSE(band.due(7, Time{} + seconds(6) - Duration(1)));
  EXPECT_TRUE(band.due(7, Time{} + seconds(6)));
  band.set_limits({2, seconds(1)});
  EXPECT_TRUE(band.due(7, Time{} + seconds(2)));
}

// Against a list that does the same in the plainest way.
TEST(WaitingBand, EqualsAListUnderRandomComingsAndGoings) {
  Random random(11);
  WaitingBand band;
  band.set_limits({20, seconds(1)});
  std::deque<std::uint32_t> list;
  for (int step = 0; step < 20'000; ++step) {
    const auto id = static_cast<std::uint32_t>(random.below(30));
    const auto place = std::ranges::find(list, id);
    ASSERT_EQ(band.waits(id), place != list.end());
    if (place == list.end()) {
      ASSERT_EQ(band.offer(id, Time{}), list.size() < 20);
      if (list.size() < 20) list.push_back(id);
    } else if (random.below(2) == 0) {
      ASSERT_TRUE(band.leave(id));
      list.erase(place);
    }
    ASSERT_EQ(band.size(), list.size());
    ASSERT_EQ(band.first().has_value(), !list.empty());
    if (list.empty()) continue;
    ASSERT_EQ(*band.first(), list.front());
  }
}

}  // namespace
}  // namespace fairlead::admission
