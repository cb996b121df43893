// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/model/block_pool.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "lab/engine/model/testing/naive_pool.h"

namespace fairlead::engine {
namespace {

using Blocks = std::vector<std::uint32_t>;
using testing::NaivePool;

Blocks allocate(BlockPool& pool, std::size_t count) {
  Blocks blocks;
  for (std::size_t i = 0; i < count; ++i) blocks.push_back(pool.allocate());
  return blocks;
}

TEST(BlockPool, ReleasedTailFirstSoTheEndOfAPrefixIsEvictedBeforeItsStart) {
  BlockPool pool(4);
  const Blocks prefix = allocate(pool, 4);
  for (std::uint32_t i = 0; i < 4; ++i) pool.publish(prefix[i], 100 + i);
  pool.release_tail_first(prefix);
  EXPECT_EQ(pool.free(), 4U);

  EXPECT_EQ(pool.allocate(), prefix[3]);
  EXPECT_EQ(pool.allocate(), prefix[2]);
  EXPECT_EQ(pool.find(103), BlockPool::kNone);
  EXPECT_EQ(pool.find(102), BlockPool::kNone);
  EXPECT_EQ(pool.find(101), prefix[1]);
  EXPECT_EQ(pool.find(100), prefix[0]);
}

TEST(BlockPool, AHitRevivesAFreeBlockAndMovesItToTheBackOfTheOrder) {
  BlockPool pool(3);
  const Blocks blocks = allocate(pool, 3);
  for (std::uint32_t i = 0; i < 3; ++i) pool.publish(blocks[i], i);
  for (const std::uint32_t block : blocks) pool.release_tail_first(Blocks{block});

  pool.hold(pool.find(0));
  EXPECT_EQ(pool.free(), 2U);
  EXPECT_TRUE(pool.held(blocks[0]));
  pool.release_tail_first(Blocks{blocks[0]});

  EXPECT_EQ(pool.allocate(), blocks[1]);
  EXPECT_EQ(pool.allocate(), blocks[2]);
  EXPECT_EQ(pool.allocate(), blocks[0]);
}

TEST(BlockPool, ABlockIsFreeOnlyWhenItsLastHolderLetsGo) {
  BlockPool pool(2);
  const std::uint32_t block = pool.allocate();
  pool.publish(block, 7);
  pool.hold(block);
  pool.release_tail_first(Blocks{block});
  EXPECT_EQ(pool.free(), 1U);
  pool.release_tail_first(Blocks{block});
  EXPECT_EQ(pool.free(), 2U);
}

TEST(BlockPool, ADuplicateServesWhenTheFirstCopyIsEvicted) {
  BlockPool pool(3);
  const Blocks copies = allocate(pool, 3);
  for (const std::uint32_t block : copies) pool.publish(block, 7);
  EXPECT_EQ(pool.find(7), copies[0]);

  pool.release_tail_first(Blocks{copies[1]});
  EXPECT_EQ(pool.allocate(), copies[1]);  // From the middle of the duplicates.
  EXPECT_EQ(pool.find(7), copies[0]);
  pool.release_tail_first(Blocks{copies[0]});
  EXPECT_EQ(pool.allocate(), copies[0]);
  EXPECT_EQ(pool.find(7), copies[2]);
  pool.release_tail_first(Blocks{copies[2]});
  EXPECT_EQ(pool.allocate(), copies[2]);
  EXPECT_EQ(pool.find(7), BlockPool::kNone);
}

TEST(BlockPool, ForgettingKeepsTheFreeOrder) {
  BlockPool pool(3);
  const Blocks blocks = allocate(pool, 3);
  for (std::uint32_t i = 0; i < 3; ++i) pool.publish(blocks[i], i);
  pool.release_tail_first(blocks);
  pool.forget_all();
  for (std::uint64_t hash = 0; hash < 3; ++hash) EXPECT_EQ(pool.find(hash), BlockPool::kNone);
  EXPECT_EQ(pool.allocate(), blocks[2]);
}

// Sequences come, hit what is there, publish the rest and go, in random order. Few hashes, in a
// small table, so that duplicates, probe runs and evictions are frequent.
void compare_with_naive(std::uint64_t seed) {
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  Random random(seed);
  const auto size = static_cast<std::uint32_t>(1 + random.below(40));
  const std::uint64_t hashes = 1 + random.below(60);
  BlockPool pool(size);
  NaivePool naive(size);
  std::vector<Blocks> holdings;
  for (int step = 0; step < 3000; ++step) {
    if (random.below(5) < 3) {
      Blocks taken;
      const std::uint64_t wanted = 1 + random.below(6);
      std::uint64_t hash = random.below(hashes);
      while (taken.size() < wanted) {
        const std::uint32_t hit = random.below(4) == 0 ? BlockPool::kNone : pool.find(hash);
        if (hit != BlockPool::kNone) {
          pool.hold(hit);
          naive.hold(hit);
          taken.push_back(hit);
        } else if (pool.free() > 0) {
          taken.push_back(pool.allocate());
          ASSERT_EQ(naive.allocate(), taken.back());
          if (random.below(3) > 0) {
            pool.publish(taken.back(), hash);
            naive.publish(taken.back(), hash);
          }
        } else {
          break;
        }
        hash = (hash + 1) % hashes;
      }
      holdings.push_back(taken);
    } else if (!holdings.empty()) {
      std::swap(holdings[random.below(holdings.size())], holdings.back());
      pool.release_tail_first(holdings.back());
      naive.release_tail_first(holdings.back());
      holdings.pop_back();
    }
    ASSERT_EQ(pool.free(), naive.free());
    for (std::uint64_t hash = 0; hash < hashes; ++hash) {
      ASSERT_EQ(pool.find(hash), naive.find(hash)) << "hash " << hash << " step " << step;
    }
  }
  for (const Blocks& blocks : holdings) pool.release_tail_first(blocks);
  EXPECT_EQ(pool.free(), size);
  for (std::uint32_t block = 0; block < size; ++block) EXPECT_FALSE(pool.held(block));
}

TEST(BlockPool, EqualsItsNaiveTwinUnderRandomOperations) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    compare_with_naive(seed);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace fairlead::engine
