// SPDX-License-Identifier: Apache-2.0
// What each event means to the KV index, one case a test; the first are the faults that were found
// in other indexes.
#include "core/prefix/kv_lane.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/random.h"
#include "core/prefix/kv_copies.h"
#include "core/prefix/token_keys.h"

namespace fairlead::prefix {
namespace {

using Words = std::vector<std::uint64_t>;

// One chain of content, with names in any domain.
class Chain {
 public:
  Chain(std::uint64_t seed, std::uint64_t id, std::size_t blocks, std::uint64_t root = 77)
      : root_(root) {
    const TokenKeys token_keys(seed);
    std::uint64_t key = root;
    for (std::size_t i = 0; i < blocks; ++i) {
      contents.push_back(mix64(id * 100'000 + i));
      key = token_keys.chain(key, contents.back());
      keys.push_back(key);
    }
  }

  Words hashes(std::size_t from, std::size_t to, std::uint64_t domain = 0) const {
    Words out;
    for (std::size_t i = from; i < to; ++i) out.push_back(mix64(keys[i] ^ (domain << 50)));
    return out;
  }
  void store(KvLane& lane, KvSlot slot, std::size_t from, std::size_t to,
             std::uint64_t domain = 0) const {
    std::optional<std::uint64_t> parent;
    if (from > 0) parent = hashes(from - 1, from, domain)[0];
    lane.store(slot, root_, parent, hashes(from, to, domain),
               std::span(contents).subspan(from, to - from));
  }
  void remove(KvLane& lane, KvSlot slot, std::size_t from, std::size_t to) const {
    lane.remove(slot, hashes(from, to));
  }

  Words contents;
  Words keys;

 private:
  std::uint64_t root_;
};

constexpr std::uint64_t kSeed = 9;

class KvLaneTest : public testing::Test {
 protected:
  KvSlot open(KvDomain domain = 0) { return *lane_.open(domain); }
  std::vector<KvDepth> depths(const Words& keys) const {
    std::vector<KvDepth> out(lane_.slots_max(), 1);
    KvLookup lookup;
    lane_.match(keys, out, lookup);
    return out;
  }
  KvDepth depth(KvSlot slot, const Words& keys) const { return depths(keys)[slot]; }

  KvLane lane_{{.seed = kSeed,
                .budget_bytes = 64U << 20,
                .slots_max = 96,
                .copies_max = 4,
                .orphan_blocks_max = 200}};
};

TEST_F(KvLaneTest, HoleEndsTheMatchAndHealingJoinsTheTailAgain) {
  const Chain chain(kSeed, 1, 100);
  const KvSlot a = open();
  chain.store(lane_, a, 0, 100);
  EXPECT_EQ(depth(a, chain.keys), 100);
  chain.remove(lane_, a, 40, 41);
  EXPECT_EQ(depth(a, chain.keys), 40);
  chain.store(lane_, a, 40, 41);
  EXPECT_EQ(depth(a, chain.keys), 100);
}

TEST_F(KvLaneTest, EvictingTheHeadCreditsNobodyElse) {
  const Chain chain(kSeed, 1, 100);
  const KvSlot a = open();
  const KvSlot b = open();
  chain.store(lane_, a, 0, 50);
  chain.store(lane_, b, 0, 100);
  chain.remove(lane_, b, 0, 1);
  EXPECT_EQ(depth(a, chain.keys), 50);
  EXPECT_EQ(depth(b, chain.keys), 0);
}

TEST_F(KvLaneTest, StoreWaitsForItsParent) {
  const Chain chain(kSeed, 1, 100);
  const KvSlot a = open();
  chain.store(lane_, a, 50, 80);
  chain.store(lane_, a, 80, 100);
  EXPECT_EQ(depth(a, chain.keys), 0);
  EXPECT_EQ(lane_.figures().orphan_blocks, 50);
  chain.remove(lane_, a, 90, 91);  // Evicted while it waited.
  chain.store(lane_, a, 0, 50);
  EXPECT_EQ(depth(a, chain.keys), 90);
  EXPECT_EQ(lane_.figures().orphan_blocks, 0);
  EXPECT_EQ(lane_.figures().adopted, 49);
  chain.store(lane_, a, 90, 91);
  EXPECT_EQ(depth(a, chain.keys), 100);
}

TEST_F(KvLaneTest, OrphansAreBounded) {
  const KvSlot a = open();
  for (std::uint64_t i = 0; i < 50; ++i) {
    const Chain chain(kSeed, i, 12);
    chain.store(lane_, a, 2, 12);
    EXPECT_LE(lane_.figures().orphan_blocks, 200);
  }
  EXPECT_EQ(lane_.figures().orphans_dropped, 300);
  const Chain dropped(kSeed, 0, 12);
  const Chain kept(kSeed, 49, 12);
  dropped.store(lane_, a, 0, 2);
  kept.store(lane_, a, 0, 2);
  EXPECT_EQ(depth(a, dropped.keys), 2);
  EXPECT_EQ(depth(a, kept.keys), 12);
}

TEST_F(KvLaneTest, ManyHoldersOfOneChainAreAllFound) {
  const Chain chain(kSeed, 1, 30);
  std::vector<KvSlot> slots;
  for (int i = 0; i < 25; ++i) {
    slots.push_back(open());
    chain.store(lane_, slots.back(), 0, 30);
  }
  for (const KvSlot slot : slots) EXPECT_EQ(depth(slot, chain.keys), 30);
  for (int i = 1; i < 25; ++i) chain.remove(lane_, slots[static_cast<std::size_t>(i)], 0, 30);
  EXPECT_EQ(depth(slots[0], chain.keys), 30);
  const auto all = depths(chain.keys);
  EXPECT_EQ(std::count(all.begin(), all.end(), 0), 95);
}

TEST_F(KvLaneTest, ManyMiddleEvictionsHeal) {
  Random random(4);
  const KvSlot a = open();
  const KvSlot b = open();
  std::vector<Chain> chains;
  for (std::uint64_t i = 0; i < 256; ++i) {
    chains.emplace_back(kSeed, i, 200);
    chains.back().store(lane_, a, 0, 200);
    chains.back().store(lane_, b, 0, 150);
  }
  for (const Chain& chain : chains) {
    std::vector<std::size_t> gone;
    for (int i = 0; i < 14; ++i) {
      gone.push_back(random.below(198) + 1);
      chain.remove(lane_, a, gone.back(), gone.back() + 1);
    }
    EXPECT_EQ(depth(a, chain.keys), *std::min_element(gone.begin(), gone.end()));
    EXPECT_EQ(depth(b, chain.keys), 150);
    for (const std::size_t block : gone) chain.store(lane_, a, block, block + 1);
    EXPECT_EQ(depth(a, chain.keys), 200);
    EXPECT_EQ(depth(b, chain.keys), 150);
  }
}

TEST_F(KvLaneTest, CopiesAreCountedUpToTheirBound) {
  const Chain chain(kSeed, 1, 10);
  const KvSlot a = open();
  chain.store(lane_, a, 0, 10);
  chain.store(lane_, a, 9, 10);
  chain.remove(lane_, a, 9, 10);
  EXPECT_EQ(depth(a, chain.keys), 10);
  chain.remove(lane_, a, 9, 10);
  EXPECT_EQ(depth(a, chain.keys), 9);
  // An engine that announces again and again what it has does not pin it.
  for (int i = 0; i < 1000; ++i) chain.store(lane_, a, 0, 9);
  EXPECT_GT(lane_.figures().copies_capped, 0);
  for (int i = 0; i < 4; ++i) chain.remove(lane_, a, 0, 9);
  EXPECT_EQ(depth(a, chain.keys), 0);
  EXPECT_EQ(lane_.held_blocks(a), 0);
}

TEST(KvCopies, WhatTheTableCannotTakeIsNotCounted) {
  KvCopies copies(64);
  std::uint64_t taken = 0;
  for (std::uint64_t key = 0; key < 64; ++key) {
    taken += copies.add(1, key, 3) == KvCopies::Added::kFirst ? 1 : 0;
  }
  EXPECT_EQ(taken, 45) << "some places stay empty, so that a search ends";
  EXPECT_EQ(copies.take(1, 0), KvCopies::Taken::kLast);
  EXPECT_EQ(copies.add(1, 100, 3), KvCopies::Added::kFirst);
  EXPECT_EQ(copies.add(1, 101, 3), KvCopies::Added::kRefused);
}

TEST_F(KvLaneTest, NamespacesDoNotMatchEachOther) {
  const Chain one(kSeed, 1, 10, 100);
  const Chain other(kSeed, 1, 10, 200);
  EXPECT_EQ(one.contents, other.contents);
  const KvSlot a = open();
  one.store(lane_, a, 0, 10);
  EXPECT_EQ(depth(a, one.keys), 10);
  EXPECT_EQ(depth(a, other.keys), 0);
}

TEST_F(KvLaneTest, TiersAreSlotsAndPlaceholdersResolveThroughTheDomain) {
  const Chain chain(kSeed, 1, 40);
  const KvDomain domain = lane_.new_domain();
  // Another domain stored the same content first.
  chain.store(lane_, open(), 0, 40, 5);
  const KvSlot device = open(domain);
  const KvSlot host = open(domain);
  lane_.hold(host, chain.hashes(0, 20, 6));
  EXPECT_EQ(lane_.figures().unknown_holds, 20);
  chain.store(lane_, device, 0, 40, 6);
  lane_.hold(host, chain.hashes(0, 20, 6));
  lane_.remove(device, chain.hashes(10, 40, 6));
  EXPECT_EQ(depth(device, chain.keys), 10);
  EXPECT_EQ(depth(host, chain.keys), 20);
}

TEST_F(KvLaneTest, SameHashForOtherContentIsRefusedInItsDomainAlone) {
  const Chain chain(kSeed, 1, 8);
  const Chain other(kSeed, 2, 8);
  const KvSlot a = open();
  const KvSlot b = open();
  const KvSlot stranger = open(lane_.new_domain());
  chain.store(lane_, a, 0, 8);
  lane_.store(b, 77, std::nullopt, chain.hashes(0, 8), other.contents);
  EXPECT_EQ(depth(b, other.keys), 0);
  EXPECT_EQ(lane_.figures().conflicts, 8);
  lane_.store(stranger, 77, std::nullopt, chain.hashes(0, 8), other.contents);
  EXPECT_EQ(depth(stranger, other.keys), 8);
  EXPECT_EQ(depth(a, chain.keys), 8);
}

TEST_F(KvLaneTest, ClearGivesAFreshSlotAtOnceAndTheOldOneAfterASweep) {
  const Chain chain(kSeed, 1, 600);
  const KvSlot a = open();
  chain.store(lane_, a, 0, 600);
  const KvSlot fresh = *lane_.clear(a);
  EXPECT_NE(fresh, a);
  EXPECT_EQ(depth(a, chain.keys), 0);
  chain.store(lane_, fresh, 0, 100);
  EXPECT_EQ(depth(fresh, chain.keys), 100);
  EXPECT_FALSE(lane_.swept(a));
  while (lane_.sweep(10) > 0) {
  }
  EXPECT_TRUE(lane_.swept(a));
  EXPECT_EQ(lane_.figures().blocks, 100);
  EXPECT_EQ(depth(fresh, chain.keys), 100);
  lane_.recycle(a);
  EXPECT_EQ(open(), a);
  EXPECT_EQ(depth(a, chain.keys), 0);
}

TEST_F(KvLaneTest, SlotsRunOutAndComeBack) {
  std::vector<KvSlot> slots;
  while (const auto slot = lane_.open(0)) slots.push_back(*slot);
  EXPECT_EQ(slots.size(), 96);
  lane_.retire(slots[7]);
  EXPECT_FALSE(lane_.open(0));
  lane_.recycle(slots[7]);
  EXPECT_EQ(lane_.open(0), slots[7]);
}

TEST_F(KvLaneTest, UnknownRemovalsAreCountedAndIgnored) {
  const Chain chain(kSeed, 1, 10);
  const KvSlot a = open();
  const KvSlot b = open();
  chain.store(lane_, a, 0, 10);
  chain.remove(lane_, b, 0, 10);
  EXPECT_EQ(lane_.figures().unknown_removals, 10);
  EXPECT_EQ(depth(a, chain.keys), 10);
}

TEST_F(KvLaneTest, AnEventOfTenThousandBlocksIsOneChain) {
  const Chain chain(kSeed, 1, 10'000);
  const KvSlot a = open();
  chain.store(lane_, a, 0, 10'000);
  EXPECT_EQ(depth(a, chain.keys), 10'000);
  EXPECT_EQ(depth(a, Words(chain.keys.begin(), chain.keys.begin() + 7'000)), 7'000);
  Words down = chain.hashes(3'000, 10'000);
  std::reverse(down.begin(), down.end());
  lane_.remove(a, down);
  EXPECT_EQ(depth(a, chain.keys), 3'000);
}

TEST_F(KvLaneTest, FewerRowsThanSlotsAreFilled) {
  const Chain chain(kSeed, 1, 5);
  std::vector<KvSlot> slots;
  for (int i = 0; i < 90; ++i) chain.store(lane_, slots.emplace_back(open()), 0, 5);
  std::vector<KvDepth> out(70, 9);
  KvLookup lookup;
  lane_.match(chain.keys, std::span(out).first(65), lookup);
  EXPECT_EQ(std::count(out.begin(), out.begin() + 65, 5), 65);
  EXPECT_EQ(std::count(out.begin() + 65, out.end(), 9), 5);
}

TEST(KvLaneBudget, MemoryStaysWithinItAndNothingIsInvented) {
  constexpr std::uint64_t kBudget = 12U << 20;
  KvLane lane({.seed = kSeed, .budget_bytes = kBudget, .slots_max = 64});
  const KvSlot a = *lane.open(0);
  const KvSlot b = *lane.open(0);
  const Chain shared(kSeed, 1'000'000, 50);
  shared.store(lane, a, 0, 50);
  shared.store(lane, b, 0, 50);
  std::uint64_t found = 0;
  for (std::uint64_t i = 0; i < 4'000; ++i) {
    const Chain chain(kSeed, i, 300);
    chain.store(lane, a, 0, 300);
    ASSERT_LE(lane.memory_bytes(), kBudget) << i;
    std::vector<KvDepth> depths(64);
    KvLookup lookup;
    lane.match(chain.keys, depths, lookup);
    EXPECT_EQ(depths[b], 0);
    found += depths[a];
  }
  EXPECT_GT(lane.figures().forgotten, 0);
  EXPECT_EQ(found, 4'000 * 300);  // The newest is always taken.
  std::vector<KvDepth> depths(64);
  KvLookup lookup;
  lane.match(shared.keys, depths, lookup);
  EXPECT_EQ(depths[a], 50) << "what two hold goes last";
  EXPECT_EQ(lane.held_blocks(a), lane.figures().stored - lane.figures().forgotten - 50);
}

TEST(KvLaneBudget, NamesOfManyDomainsCountToo) {
  constexpr std::uint64_t kBudget = 12U << 20;
  KvLane lane({.seed = kSeed, .budget_bytes = kBudget, .slots_max = 64});
  std::vector<KvSlot> slots;
  for (int i = 0; i < 40; ++i) slots.push_back(*lane.open(lane.new_domain()));
  for (std::uint64_t i = 0; i < 300; ++i) {
    const Chain chain(kSeed, i, 100);
    for (std::size_t slot = 0; slot < slots.size(); ++slot) {
      chain.store(lane, slots[slot], 0, 100, slot + 1);
      ASSERT_LE(lane.memory_bytes(), kBudget) << i;
    }
  }
  EXPECT_GT(lane.figures().forgotten, 0);
}

TEST(KvLaneBudget, HolesOfRemovalsCountToo) {
  constexpr std::uint64_t kBudget = 8U << 20;
  KvLane lane({.seed = kSeed, .budget_bytes = kBudget, .slots_max = 64});
  const KvSlot a = *lane.open(0);
  for (std::uint64_t i = 0; i < 800; ++i) {
    const Chain chain(kSeed, i, 400);
    chain.store(lane, a, 0, 400);
    Words every_other;
    for (std::size_t block = 1; block < 400; block += 2) {
      every_other.push_back(chain.hashes(block, block + 1)[0]);
    }
    lane.remove(a, every_other);
    ASSERT_LE(lane.memory_bytes(), kBudget) << i;
    std::vector<KvDepth> depths(64);
    KvLookup lookup;
    lane.match(chain.keys, depths, lookup);
    ASSERT_LE(depths[a], 1) << i;
  }
  EXPECT_GT(lane.figures().forgotten, 0);
  const KvFigures& figures = lane.figures();
  EXPECT_EQ(lane.held_blocks(a), figures.stored - figures.removed - figures.forgotten);
}

TEST(KvLaneBudget, NoStoreForgetsMuchMoreThanItTakes) {
  KvLane lane({.seed = kSeed, .budget_bytes = 8U << 20, .slots_max = 64});
  const KvSlot a = *lane.open(0);
  std::uint64_t forgotten = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    const Chain chain(kSeed, i, 4'000);
    for (std::size_t from = 0; from < 4'000; from += 100) {
      chain.store(lane, a, from, from + 100);
      ASSERT_LE(lane.figures().forgotten - forgotten, 1'024);
      forgotten = lane.figures().forgotten;
    }
  }
  EXPECT_GT(forgotten, 0);
  EXPECT_EQ(lane.figures().refused, 0);
}

TEST_F(KvLaneTest, AFloodOfWhatWaitsPushesOutItsOwnAlone) {
  const KvSlot quiet = open();
  const KvSlot loud = open();
  const KvSlot other = open();
  const Chain mine(kSeed, 1000, 60);
  const Chain third(kSeed, 1001, 30);
  mine.store(lane_, quiet, 1, 60);
  third.store(lane_, other, 1, 30);
  for (std::uint64_t i = 0; i < 300; ++i) Chain(kSeed, i, 12).store(lane_, loud, 2, 12);
  EXPECT_LE(lane_.figures().orphan_blocks, 200);
  mine.store(lane_, quiet, 0, 1);
  third.store(lane_, other, 0, 1);
  EXPECT_EQ(depth(quiet, mine.keys), 60);
  EXPECT_EQ(depth(other, third.keys), 30);
  const Chain newest(kSeed, 299, 12);
  newest.store(lane_, loud, 0, 2);
  EXPECT_EQ(depth(loud, newest.keys), 12) << "of its own the oldest goes first";
  // Who comes late gets room from the one that has most.
  for (std::uint64_t i = 0; i < 30; ++i) Chain(kSeed, i, 12).store(lane_, loud, 2, 12);
  const Chain late(kSeed, 2000, 60);
  late.store(lane_, quiet, 1, 60);
  late.store(lane_, quiet, 0, 1);
  EXPECT_EQ(depth(quiet, late.keys), 60);
}

TEST_F(KvLaneTest, WhatWaitedInMassesIsTakenInByPieces) {
  KvLane lane({.seed = kSeed, .budget_bytes = 64U << 20, .slots_max = 8});
  const KvSlot a = *lane.open(0);
  const Chain chain(kSeed, 1, 5'000);
  chain.store(lane, a, 1, 5'000);
  lane.remove(a, chain.hashes(128, 129));  // The last of the first piece.
  chain.store(lane, a, 0, 1);
  EXPECT_GT(lane.figures().orphan_blocks, 4'000);
  while (lane.sweep(100) > 0) {
  }
  EXPECT_EQ(lane.figures().orphan_blocks, 0);
  std::vector<KvDepth> depths(8);
  KvLookup lookup;
  lane.match(chain.keys, depths, lookup);
  EXPECT_EQ(depths[a], 128);
  chain.store(lane, a, 128, 129);
  lane.match(chain.keys, depths, lookup);
  EXPECT_EQ(depths[a], 5'000);
}

// Each time that its chunk is split, all of a block's names are looked at.
TEST(KvLane, ABlockHasNoEndlessNames) {
  KvLane lane({.seed = kSeed, .slots_max = 64});
  const KvSlot slot = *lane.open(lane.new_domain());
  const Chain chain(kSeed, 1, 20);
  chain.store(lane, slot, 0, 20);
  constexpr std::uint64_t kNames = 40'000;
  for (std::uint64_t name = 1; name <= kNames; ++name) {
    const std::uint64_t hash = mix64(name << 32);
    lane.store(slot, 77, std::nullopt, {&hash, 1}, std::span(chain.contents).first(1));
  }
  EXPECT_EQ(lane.figures().conflicts, kNames - 16 * 1024);
  EXPECT_EQ(lane.held_blocks(slot), 20U);
  const KvSlot other = *lane.open(0);
  chain.store(lane, other, 0, 2);
  EXPECT_EQ(lane.held_blocks(other), 0U) << "nor is it known by another engine's name any more";
  lane.retire(slot);
  for (int i = 0; i < 100 && !lane.swept(slot); ++i) lane.sweep(1000);
  EXPECT_EQ(lane.figures().blocks, 0U);
}

TEST_F(KvLaneTest, BlocksOfManyNamesAreSweptInSlices) {
  const Chain chain(kSeed, 1, 512);
  const KvSlot a = open();
  for (std::uint64_t name = 0; name < 400; ++name) chain.store(lane_, a, 0, 512, name);
  lane_.retire(a);
  EXPECT_GT(lane_.sweep(1000), 0U);
  EXPECT_EQ(lane_.figures().blocks, 256U) << "a piece of a run, however long its names took";
  while (lane_.sweep(1000) > 0) {
  }
  EXPECT_EQ(lane_.figures().blocks, 0U);
}

}  // namespace
}  // namespace fairlead::prefix
