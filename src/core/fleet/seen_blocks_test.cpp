// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/seen_blocks.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"

namespace fairlead::fleet {
namespace {

TEST(SeenBlocks, TellsTheTokensComputedSinceABlockWasAskedFor) {
  SeenBlocks seen;
  EXPECT_EQ(seen.age(7), std::nullopt);
  EXPECT_EQ(seen.age(0), std::nullopt);
  seen.note(7);
  EXPECT_EQ(seen.age(7), 0);
  seen.pass(10 * SeenBlocks::kGrain);
  EXPECT_EQ(seen.age(7), 10 * SeenBlocks::kGrain);
  seen.note(7);
  EXPECT_EQ(seen.age(7), 0);
}

TEST(SeenBlocks, RemembersMostOfAsManyBlocksAsItIsMadeFor) {
  SeenBlocks seen;
  Random keys(1);
  for (int i = 0; i < SeenBlocks::kBlocksMax; ++i) seen.note(keys.next());
  Random again(1);
  int found = 0;
  for (int i = 0; i < SeenBlocks::kBlocksMax; ++i) found += seen.age(again.next()) ? 1 : 0;
  // Half as many as places: of three blocks one at most has lost its place to a later one.
  EXPECT_GT(found, 0.66 * SeenBlocks::kBlocksMax);
  int invented = 0;
  for (int i = 0; i < SeenBlocks::kBlocksMax; ++i) invented += seen.age(again.next()) ? 1 : 0;
  EXPECT_EQ(invented, 0);
}

TEST(SeenBlocks, ASmallerSampleIsPartOfALargerOne) {
  Random random(1);
  int sampled = 0;
  for (int i = 0; i < 32'000; ++i) {
    const std::uint64_t key = random.next();
    EXPECT_TRUE(SeenBlocks::sampled(key, 0));
    if (!SeenBlocks::sampled(key, 5)) continue;
    ++sampled;
    EXPECT_TRUE(SeenBlocks::sampled(key, 4));
  }
  EXPECT_NEAR(sampled, 1000, 100);
}

TEST(SeenBlocks, TheSampleFitsItsPlacesWhateverIsTold) {
  constexpr double kMost = SeenBlocks::kBlocksMax;
  EXPECT_EQ(SeenBlocks::shift_for(0), 0U);
  EXPECT_EQ(SeenBlocks::shift_for(kMost), 0U);
  EXPECT_EQ(SeenBlocks::shift_for(kMost + 1), 1U);
  EXPECT_EQ(SeenBlocks::shift_for(1024 * kMost), 10U);
  EXPECT_EQ(SeenBlocks::shift_for(1e300), SeenBlocks::kShiftMax);
  EXPECT_EQ(SeenBlocks::shift_for(std::numeric_limits<double>::infinity()), SeenBlocks::kShiftMax);
}

}  // namespace
}  // namespace fairlead::fleet
