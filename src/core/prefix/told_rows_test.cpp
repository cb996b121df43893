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

// Hands one row to and fro between two endpoints, each time that a reader has just begun a look-up.
class RowPasser {
 public:
  RowPasser(KvLane& lane, ToldRows& rows) : lane_(lane), rows_(rows) {}

  void run(const std::atomic<std::uint64_t>& lookups, std::uint64_t last) {
    for (std::uint64_t turn = 0; lookups.load() < last; ++turn) {
      const KvSlot slot = take(static_cast<std::uint32_t>(turn % 2));
      // The one that runs now finds its owner as it was, and the next one.
      for (const std::uint64_t from = lookups.load(); lookups.load() < from + 2;) {
        if (lookups.load() >= last) return;
      }
      rows_.release(slot);
      lane_.retire(slot);
      while (!lane_.swept(slot)) lane_.sweep(100);
      lane_.recycle(slot);
    }
  }

 private:
  KvSlot take(std::uint32_t endpoint) {
    const KvSlot slot = *lane_.open(0);
    const std::uint64_t content = mix64(endpoint);
    const std::uint64_t hash = mix64(content);
    lane_.store(slot, kToldRoot, std::nullopt, std::span(&hash, 1), std::span(&content, 1));
    rows_.assign(slot, endpoint, ToldRows::Kind::kDevice);
    return slot;
  }

  KvLane& lane_;
  ToldRows& rows_;
};

// Without a second look at its owner, a row that was cleared and taken up by another endpoint
// between the reader's look at the owners and its look at the index would count for the one before.
TEST(ToldRowsRace, ARowThatChangesHandsDuringALookupIsNotCountedForTheOneBefore) {
  constexpr std::uint32_t kRows = 32'768;  // Looked at one after the other, which takes its time.
  constexpr std::uint64_t kLookups = 6'000;
  KvLane lane({.seed = kToldSeed, .budget_bytes = std::uint64_t{64} << 20, .slots_max = kRows});
  const std::array<const KvLane*, 1> lanes{&lane};
  const KvIndex index(lanes);
  ToldRows rows(index, 3, 0.5);
  rows.assign(kRows - 1, 2, ToldRows::Kind::kDevice);
  rows.set_trust(0, Trust::kTrusted);
  rows.set_trust(1, Trust::kTrusted);
  std::atomic<std::uint64_t> lookups{0};
  std::thread writer([&] { RowPasser(lane, rows).run(lookups, kLookups); });
  const TokenKeys keys(kToldSeed);
  ToldScratch scratch;
  std::uint64_t found = 0;
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 0; i < kLookups; ++i) {
    // Not in turn: the other thread may take turns with this one.
    const auto endpoint = static_cast<std::uint32_t>(mix64(i) % 2);
    const std::uint64_t key = keys.chain(kToldRoot, mix64(endpoint));
    std::array<ToldBlocks, 2> out;
    lookups.fetch_add(1);
    rows.told(std::span(&key, 1), out, scratch);
    found += out[endpoint].blocks;
    wrong += out[1 - endpoint].blocks;
  }
  writer.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_GT(found, kLookups / 100);
}

}  // namespace
}  // namespace fairlead::prefix
