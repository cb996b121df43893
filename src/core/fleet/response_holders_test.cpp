// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/response_holders.h"

#include <gtest/gtest.h>

namespace fairlead::fleet {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kSetStep = 2 * (ResponseHolders::kEntriesMax / ResponseHolders::kWays);

// Ids that stand in the same places.
constexpr std::uint64_t rival(std::uint64_t number) { return 1 + number * kSetStep; }

TEST(ResponseHolders, FindsWhatWasNotedLast) {
  ResponseHolders holders;
  EXPECT_FALSE(holders.find(7, Time(1s)));
  holders.note(7, {1, 2}, Time(1s));
  holders.note(9, {3, 4}, Time(1s));
  EXPECT_EQ(holders.find(7, Time(2s)), (model::EndpointRef{1, 2}));
  holders.note(7, {5, 6}, Time(3s));
  EXPECT_EQ(holders.find(7, Time(4s)), (model::EndpointRef{5, 6}));
  EXPECT_FALSE(holders.find(11, Time(4s)));
  EXPECT_EQ(holders.figures().held, 2U);
  EXPECT_EQ(holders.figures().evicted, 0U);
}

TEST(ResponseHolders, TheOneUsedLongestAgoMakesRoom) {
  ResponseHolders holders;
  for (std::uint64_t i = 0; i < ResponseHolders::kWays; ++i) {
    holders.note(rival(i), {}, Time(i * 1s));
  }
  ASSERT_TRUE(holders.find(rival(0), Time(100s)));
  holders.note(rival(100), {}, Time(101s));
  EXPECT_TRUE(holders.find(rival(0), Time(102s)));
  EXPECT_FALSE(holders.find(rival(1), Time(102s)));
  EXPECT_EQ(holders.figures().held, ResponseHolders::kWays);
  EXPECT_EQ(holders.figures().evicted, 1U);
}

TEST(ResponseHolders, AnEntryLivesFromItsLastUse) {
  ResponseHolders holders;
  holders.note(7, {1, 1}, Time{});
  EXPECT_TRUE(holders.find(7, Time(ResponseHolders::kLifetime - 1s)));
  EXPECT_TRUE(holders.find(7, Time(2 * ResponseHolders::kLifetime - 2s)));
  EXPECT_FALSE(holders.find(7, Time(3 * ResponseHolders::kLifetime)));
  for (std::uint64_t i = 1; i <= ResponseHolders::kWays; ++i) {
    holders.note(7 + i * kSetStep, {}, Time(3 * ResponseHolders::kLifetime));
  }
  EXPECT_EQ(holders.figures().evicted, 0U) << "what is past its lifetime is no loss";
}

}  // namespace
}  // namespace fairlead::fleet
