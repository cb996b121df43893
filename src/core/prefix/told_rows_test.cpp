// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/told_rows.h"

#include <gtest/gtest.h>

#include <array>

#include "base/random.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/token_keys.h"

namespace fairlead::prefix {
namespace {

constexpr std::uint64_t kToldSeed = 3;
constexpr std::uint64_t kToldRoot = 5;
constexpr std::uint32_t kToldRows = 64;

class ToldRowsTest : public ::testing::Test {
 protected:
  // One block of each of two prompts.
  void store(KvSlot slot, std::uint64_t prompt) {
    const std::uint64_t content = mix64(prompt);
    const std::uint64_t hash = mix64(content);
    lane_.store(slot, kToldRoot, std::nullopt, std::span(&hash, 1), std::span(&content, 1));
  }
  static std::uint64_t key_of(std::uint64_t prompt) {
    return TokenKeys(kToldSeed).chain(kToldRoot, mix64(prompt));
  }
  std::array<ToldBlocks, 3> told(std::uint64_t prompt, ToldScratch& scratch) const {
    std::array<ToldBlocks, 3> out;
    const std::uint64_t key = key_of(prompt);
    rows_.told(std::span(&key, 1), out, scratch);
    return out;
  }

  KvLane lane_{
      {.seed = kToldSeed, .budget_bytes = std::uint64_t{64} << 20, .slots_max = kToldRows}};
  const std::array<const KvLane*, 1> lanes_{&lane_};
  const KvIndex index_{lanes_};
  ToldRows rows_{index_, 3, 0.5};
};

TEST_F(ToldRowsTest, ARowCountsForItsEndpointWhileThatIsBelieved) {
  ToldScratch scratch;
  const KvSlot slot = *lane_.open(0);
  store(slot, 0);
  EXPECT_EQ(told(0, scratch)[1].blocks, 0U) << "it is nobody's";
  rows_.assign(slot, 1, ToldRows::Kind::kDevice);
  EXPECT_EQ(told(0, scratch)[1].blocks, 0U) << "its endpoint is not believed";
  rows_.set_trust(1, Trust::kSuspect);
  const auto out = told(0, scratch);
  EXPECT_EQ(out[1].blocks, 1U);
  EXPECT_EQ(out[1].trust, Trust::kSuspect);
  EXPECT_EQ(out[0].blocks + out[2].blocks, 0U);
  rows_.release(slot);
  EXPECT_EQ(told(0, scratch)[1].blocks, 0U);
}

}  // namespace
}  // namespace fairlead::prefix
