// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/scrape_schedule.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace fairlead::fleet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

TEST(ScrapeSchedule, AFewEndpointsAreOneBatchAnInterval) {
  ScrapeSchedule schedule(Random(7));
  Time now{seconds(1)};
  schedule.restart(now);
  std::set<Duration> gaps;
  for (int i = 0; i < 1000; ++i) {
    const auto batch = schedule.take(schedule.next(), 100, milliseconds(50));
    ASSERT_TRUE(batch);
    EXPECT_EQ(batch->from_slot, 0U);
    EXPECT_EQ(batch->members, kAll);
    schedule.taken(100);
    EXPECT_FALSE(schedule.take(now, 100, milliseconds(50)));
    const Duration gap = schedule.next() - now;
    EXPECT_GE(gap, milliseconds(45));
    EXPECT_LE(gap, milliseconds(55));
    gaps.insert(gap);
    now = schedule.next();
  }
  EXPECT_GT(gaps.size(), 900U) << "jitter";
  EXPECT_NEAR(to_seconds(now - Time{seconds(1)}), 50, 1) << "and the interval is kept";
}

TEST(ScrapeSchedule, ManyEndpointsAreBatchesOfARound) {
  ScrapeSchedule schedule(Random(7));
  std::uint32_t end = 0;
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t part = 0; part < 4; ++part) {
      const auto batch = schedule.take(schedule.next(), 340, milliseconds(200));
      ASSERT_TRUE(batch);
      EXPECT_EQ(batch->from_slot, part == 0 ? 0 : end);
      EXPECT_EQ(batch->members, part == 3 ? kAll : 85U);
      end = 85 * (part + 1);
      schedule.taken(end);
    }
  }
  EXPECT_NEAR(to_seconds(schedule.next()), 0.6, 0.06);
}

TEST(ScrapeSchedule, BatchesGrowWhereTheIntervalHasNoRoomForMore) {
  ScrapeSchedule schedule(Random(7));
  const auto batch = schedule.take(schedule.next(), 4000, milliseconds(50));
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->members, 800U);
  ScrapeSchedule fast(Random(7));
  ASSERT_TRUE(fast.take(fast.next(), 4000, milliseconds(5)));
  EXPECT_GE(fast.next(), Time{milliseconds(4)}) << "one batch an interval is the least";
}

TEST(ScrapeSchedule, APauseIsNotMadeUpFor) {
  ScrapeSchedule schedule(Random(7));
  ASSERT_TRUE(schedule.take(Time{seconds(1)}, 10, milliseconds(50)));
  ASSERT_TRUE(schedule.take(Time{seconds(60)}, 10, milliseconds(50)));
  EXPECT_FALSE(schedule.take(Time{seconds(60)}, 10, milliseconds(50)));
}

TEST(ScrapeSchedule, BackOffDoublesUpToASecondOrTheInterval) {
  const Time now{seconds(5)};
  EXPECT_EQ(ScrapeSchedule::retry_at(now, 1, milliseconds(50)), now + milliseconds(75));
  EXPECT_EQ(ScrapeSchedule::retry_at(now, 2, milliseconds(50)), now + milliseconds(175));
  EXPECT_EQ(ScrapeSchedule::retry_at(now, 4'000'000'000U, milliseconds(50)),
            now + milliseconds(975));
  EXPECT_EQ(ScrapeSchedule::retry_at(now, 9, seconds(10)), now + seconds(5));
}

}  // namespace
}  // namespace fairlead::fleet
