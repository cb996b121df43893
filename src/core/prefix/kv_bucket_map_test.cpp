// SPDX-License-Identifier: Apache-2.0
// The maps and the memory of the KV index against plain containers.
#include "core/prefix/kv_bucket_map.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "core/prefix/kv_arena.h"

namespace fairlead::prefix {
namespace {

constexpr std::uint64_t kMapSeed = 12;

// Many entries, of which some share all of their hash.
class MapAndTwin {
 public:
  void insert(std::uint64_t hash) {
    const auto id = static_cast<std::uint32_t>(hashes_.size());
    hashes_.push_back(hash);
    map_.insert(hash, id);
    ids_.insert(id);
  }
  void erase(std::uint32_t id) {
    if (ids_.erase(id) > 0) map_.erase(hashes_[id], id);
  }
  bool finds(std::uint32_t id) const {
    return map_.find(hashes_[id], [id](std::uint32_t it) { return it == id; }) == id;
  }
  KvBucketMap::Shared finds_beside_writer(std::uint32_t id) const {
    return map_.find_shared(hashes_[id], [id](std::uint32_t it) { return it == id; });
  }
  bool right(std::uint32_t id) const {
    const auto shared =
        ids_.contains(id) ? KvBucketMap::Shared::kFound : KvBucketMap::Shared::kAbsent;
    return finds(id) == ids_.contains(id) && finds_beside_writer(id) == shared;
  }
  std::uint32_t next() const { return static_cast<std::uint32_t>(hashes_.size()); }
  KvBucketMap& map() { return map_; }

 private:
  KvMemory memory_{std::size_t{16} << 20};
  KvBucketMap map_{memory_};
  std::vector<std::uint64_t> hashes_{0};
  std::set<std::uint32_t> ids_;
};

TEST(KvBucketMap, FindsWhatIsThereWhileItGrowsThroughAllItsForms) {
  Random random(kMapSeed);
  MapAndTwin both;
  for (int i = 0; i < 200'000; ++i) {
    both.insert(i % 10'000 == 0 ? 77'777 : random.next());
    if (random.below(4) == 0)
      both.erase(1 + static_cast<std::uint32_t>(random.below(both.next() - 1)));
    const auto any = 1 + static_cast<std::uint32_t>(random.below(both.next() - 1));
    ASSERT_TRUE(both.right(any)) << any << " after " << i;
  }
  for (std::uint32_t id = 1; id < both.next(); ++id) ASSERT_TRUE(both.right(id)) << id;
  for (std::uint32_t id = 1; id < both.next(); ++id) both.erase(id);
  for (std::uint32_t id = 1; id < both.next(); ++id) ASSERT_TRUE(both.right(id)) << id;
}

TEST(KvBucketMap, InsertsUnlessItIsThereAndRenames) {
  KvMemory memory(std::size_t{1} << 20);
  KvBucketMap map(memory);
  const auto same = [](std::uint32_t wanted) {
    return [wanted](std::uint32_t id) { return id == wanted; };
  };
  EXPECT_EQ(map.insert_unless(5, 7, same(7)), 0);
  EXPECT_EQ(map.insert_unless(5, 8, same(7)), 7);
  map.rename(5, 7, 9);
  EXPECT_EQ(map.find(5, same(7)), 0);
  EXPECT_EQ(map.find(5, same(9)), 9);
}

TEST(KvBucketMap, SaysBeforehandWhatItMayTake) {
  Random random(kMapSeed);
  KvMemory memory(std::size_t{16} << 20);
  KvBucketMap map(memory);
  for (std::uint32_t id = 1; id < 300'000;) {
    const std::uint32_t pages = map.pages_for(1000);
    const std::uint32_t left = memory.left();
    for (int i = 0; i < 1000; ++i) map.insert(random.next(), id++);
    ASSERT_LE(left - memory.left(), pages) << id;
  }
}

TEST(KvWords, FreeNeighboursBecomeRoomForLargeBlocks) {
  Random random(kMapSeed);
  KvMemory memory(std::size_t{4} << 20);
  KvWords words(memory);
  std::vector<std::pair<std::uint32_t, unsigned>> taken;
  const auto release = [&](std::size_t i) {
    words.release(taken[i].first, taken[i].second);
    taken[i] = taken.back();
    taken.pop_back();
  };
  for (int i = 0; i < 20'000; ++i) {
    if (taken.size() > 300) release(random.below(taken.size()));
    const auto size_class = static_cast<unsigned>(random.below(KvWords::kClasses));
    const std::uint32_t ref = words.allocate(size_class);
    // Each block is its owner's alone.
    for (std::uint32_t word = 0; word < KvWords::words_of(size_class); ++word) {
      words.at(ref)[word].store(ref, std::memory_order_relaxed);
    }
    taken.emplace_back(ref, size_class);
  }
  for (const auto& [ref, size_class] : taken) {
    for (std::uint32_t word = 0; word < KvWords::words_of(size_class); ++word) {
      ASSERT_EQ(words.at(ref)[word].load(std::memory_order_relaxed), ref);
    }
  }
  while (!taken.empty()) release(taken.size() - 1);
  const auto pages = static_cast<std::uint32_t>(memory.bytes() / KvMemory::kPageBytes);
  EXPECT_EQ(words.pages_for(pages * 7, KvWords::kClasses - 1), 0);
}

}  // namespace
}  // namespace fairlead::prefix
