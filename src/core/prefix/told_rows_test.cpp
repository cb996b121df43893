// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/told_rows.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

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

// Without a second look at its owner, a row that was cleared and taken up by another endpoint
// between the reader's look at the owners and its look at the index would count for the one before.
TEST(ToldRowsRace, ARowThatChangesHandsDuringALookupIsNotCountedForTheOneBefore) {
  constexpr std::uint32_t kRows = 8192;  // Looked at one after the other, which takes its time.
  constexpr int kLookups = 60'000;
  KvLane lane({.seed = kToldSeed, .budget_bytes = std::uint64_t{64} << 20, .slots_max = kRows});
  const std::array<const KvLane*, 1> lanes{&lane};
  const KvIndex index(lanes);
  ToldRows rows(index, 3, 0.5);
  rows.assign(kRows - 1, 2, ToldRows::Kind::kDevice);
  rows.set_trust(0, Trust::kTrusted);
  rows.set_trust(1, Trust::kTrusted);
  const TokenKeys keys(kToldSeed);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (std::uint32_t turn = 0; !done.load(); ++turn) {
      const std::uint32_t endpoint = turn % 2;
      const KvSlot slot = *lane.open(0);
      const std::uint64_t content = mix64(endpoint);
      const std::uint64_t hash = mix64(content);
      lane.store(slot, kToldRoot, std::nullopt, std::span(&hash, 1), std::span(&content, 1));
      rows.assign(slot, endpoint, ToldRows::Kind::kDevice);
      rows.release(slot);
      lane.retire(slot);
      while (lane.sweep(1'000) > 0) {
      }
      lane.recycle(slot);
    }
  });
  ToldScratch scratch;
  std::uint64_t found = 0;
  std::uint64_t wrong = 0;
  for (int i = 0; i < kLookups || (found == 0 && i < 100 * kLookups); ++i) {
    const std::uint32_t endpoint = static_cast<std::uint32_t>(i) % 2;
    const std::uint64_t key = keys.chain(kToldRoot, mix64(endpoint));
    std::array<ToldBlocks, 2> out;
    rows.told(std::span(&key, 1), out, scratch);
    found += out[endpoint].blocks;
    wrong += out[1 - endpoint].blocks;
  }
  done.store(true);
  writer.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_GT(found, 0U);
}

}  // namespace
}  // namespace fairlead::prefix
