// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_expected.h"

#include <gtest/gtest.h>

#include <numeric>

namespace fairlead::prefix {
namespace {

constexpr Time at_second(int s) { return Time{std::chrono::seconds(s)}; }

class KvExpectedTest : public ::testing::Test {
 protected:
  static std::vector<std::uint64_t> prompt(std::uint64_t first, std::size_t blocks) {
    std::vector<std::uint64_t> keys(blocks);
    std::iota(keys.begin(), keys.end(), first);
    return keys;
  }
  std::uint64_t held(model::EndpointRef endpoint) const {
    return lane_.held_blocks(*expected_.slot(endpoint));
  }

  void add(model::EndpointRef endpoint, std::vector<std::uint64_t> keys, Time until) {
    expected_.add(endpoint, std::move(keys), until, std::span(&device_, 1));
  }

  KvLane lane_{{.seed = 1, .budget_bytes = 16 << 20, .slots_max = 16}};
  KvExpected expected_{lane_, 100};
  KvSlot device_ = *lane_.open(0);
};

TEST_F(KvExpectedTest, HoldsAPromptUntilItsTimeIsOver) {
  ASSERT_TRUE(expected_.open({2, 0}).has_value());
  add({2, 0}, prompt(1000, 10), at_second(3));
  add({2, 0}, prompt(2000, 5), at_second(4));
  EXPECT_EQ(held({2, 0}), 15U);
  expected_.expire(at_second(2));
  EXPECT_EQ(held({2, 0}), 15U);
  expected_.expire(at_second(3));
  EXPECT_EQ(held({2, 0}), 5U);
  expected_.expire(at_second(9));
  EXPECT_EQ(held({2, 0}), 0U);
  EXPECT_EQ(expected_.blocks(), 0U);
}

TEST_F(KvExpectedTest, APromptSentTwiceIsHeldAsLongAsTheLaterOne) {
  expected_.open({0, 0});
  add({0, 0}, prompt(1000, 10), at_second(3));
  add({0, 0}, prompt(1000, 10), at_second(5));
  expected_.expire(at_second(4));
  EXPECT_EQ(held({0, 0}), 10U);
  expected_.expire(at_second(5));
  EXPECT_EQ(held({0, 0}), 0U);
}

TEST_F(KvExpectedTest, WhatManyBeginWithIsHeldUntilTheLastIsOver) {
  expected_.open({0, 0});
  for (std::uint64_t i = 0; i < 9; ++i) {
    auto keys = prompt(1000, 5);
    keys.push_back(2000 + i);
    add({0, 0}, keys, at_second(3));
  }
  for (std::uint64_t i = 0; i < 8; ++i) {
    expected_.told({0, 0}, 2000 + i);
    EXPECT_EQ(held({0, 0}), 5 + 8 - i);
  }
  expected_.told({0, 0}, 2008);
  EXPECT_EQ(held({0, 0}), 0U);
}

TEST_F(KvExpectedTest, ForgetsOneEndpointAndNoOther) {
  expected_.open({0, 0});
  expected_.open({1, 0});
  add({0, 0}, prompt(1000, 10), at_second(3));
  add({1, 0}, prompt(1000, 10), at_second(3));
  expected_.forget({0, 0});
  EXPECT_EQ(held({0, 0}), 0U);
  EXPECT_EQ(held({1, 0}), 10U);
  EXPECT_EQ(expected_.blocks(), 10U);
}

TEST_F(KvExpectedTest, APromptIsHeldUntilTheEngineTellsOfItsLastBlock) {
  expected_.open({0, 0});
  expected_.open({1, 0});
  add({0, 0}, prompt(1000, 10), at_second(3));
  add({1, 0}, prompt(1000, 10), at_second(3));
  add({0, 0}, prompt(1000, 12), at_second(4));
  expected_.told({0, 0}, 1004);  // Of a part.
  EXPECT_EQ(held({0, 0}), 12U);
  expected_.told({0, 0}, 1009);
  EXPECT_EQ(expected_.blocks(), 22U);
  expected_.told({0, 0}, 1011);
  EXPECT_EQ(held({0, 0}), 0U);
  EXPECT_EQ(held({1, 0}), 10U);
  expected_.expire(at_second(9));
  EXPECT_EQ(expected_.blocks(), 0U);
}

TEST_F(KvExpectedTest, APromptThatTheEngineHoldsWholeIsNotExpected) {
  expected_.open({0, 0});
  const auto keys = prompt(1000, 10);
  lane_.store_keys(device_, std::span(keys).first(9));
  add({0, 0}, prompt(1000, 9), at_second(3));
  EXPECT_EQ(held({0, 0}), 0U);
  add({0, 0}, prompt(1000, 10), at_second(3));
  EXPECT_EQ(held({0, 0}), 10U);
  lane_.store_keys(device_, std::span(keys).subspan(9));
  lane_.remove(device_, std::span(keys).subspan(4, 1));  // A hole.
  add({0, 0}, prompt(1000, 9), at_second(3));
  EXPECT_EQ(expected_.blocks(), 19U);
}

TEST_F(KvExpectedTest, WhatWasSentToAnEarlierEndpointOfTheSlotIsNotTheNextOnes) {
  const auto first = expected_.open({0, 0});
  add({0, 0}, prompt(1000, 10), at_second(3));
  expected_.close({0, 0});
  EXPECT_FALSE(expected_.slot({0, 0}).has_value());
  while (!lane_.swept(*first)) lane_.sweep(1000);
  lane_.recycle(*first);
  ASSERT_EQ(expected_.open({0, 1}), first);
  add({0, 0}, prompt(1000, 10), at_second(4));
  EXPECT_EQ(held({0, 1}), 0U);
  add({0, 1}, prompt(1000, 10), at_second(4));
  expected_.expire(at_second(3));
  EXPECT_EQ(held({0, 1}), 10U);
}

TEST_F(KvExpectedTest, BeyondTheBoundTheOldestIsDroppedAndCounted) {
  expected_.open({0, 0});
  add({0, 0}, prompt(1000, 60), at_second(3));
  add({0, 0}, prompt(2000, 60), at_second(4));
  EXPECT_EQ(expected_.dropped(), 1U);
  EXPECT_EQ(expected_.blocks(), 60U);
  EXPECT_EQ(held({0, 0}), 60U);
}

TEST_F(KvExpectedTest, AClockThatJumpsAheadEndsWhatWasSentBeforeItAlone) {
  constexpr int kYear = 365 * 24 * 3600;
  expected_.open({0, 0});
  add({0, 0}, prompt(1000, 10), at_second(3));
  add({0, 0}, prompt(2000, 5), at_second(kYear + 2));
  expected_.expire(at_second(kYear));
  EXPECT_EQ(held({0, 0}), 5U);
  expected_.expire(at_second(kYear + 2));
  EXPECT_EQ(held({0, 0}), 0U);
}

}  // namespace
}  // namespace fairlead::prefix
