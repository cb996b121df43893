// SPDX-License-Identifier: Apache-2.0
// KvEngineMap: engine hashes -> blocks. A block lies in its chunk together with the hash under
// which its first holder's domain knows it; that is its entry. A domain that knows the block under
// another hash has an alias: 32 bytes and a map entry, until the block is gone. Aliases of a chunk
// are a list, so that they follow their block. Threads: the lane's writer.
#pragma once

#include <cstdint>

#include "core/prefix/kv_arena.h"
#include "core/prefix/kv_bucket_map.h"
#include "core/prefix/kv_run.h"

namespace fairlead::prefix {

// A block: chunk << 4 | index; 0 for none.
using KvLocation = std::uint32_t;
inline KvLocation location_of(std::uint32_t chunk, std::uint32_t index) {
  return chunk << 4 | index;
}
inline std::uint32_t chunk_in(KvLocation at) { return at >> 4; }
inline std::uint32_t index_in(KvLocation at) { return at & (kChunkBlocks - 1); }

// Chunks with the writer's facts beside them, under the same ids.
class KvBlocks {
 public:
  explicit KvBlocks(KvMemory& memory) : data_(memory.data()), chunks_(memory) {}

  KvChunk& chunk(std::uint32_t id) const { return chunks_[id]; }
  KvChunkInfo& info(std::uint32_t id) const {
    const std::size_t page = id / kChunksAPage * KvMemory::kPageBytes;
    return reinterpret_cast<KvChunkInfo*>(data_ + page)[id % kChunksAPage];
  }
  const KvChunks& chunks() const { return chunks_; }
  // What comes next when the block's engine hash turns out right.
  void prefetch(KvLocation at) const {
    __builtin_prefetch(&info(chunk_in(at)));
    __builtin_prefetch(&chunks_[chunk_in(at)].keys[index_in(at)]);
  }

  // All that storing behind the block, or removing it, looks at.
  void prefetch_whole(KvLocation at) const {
    prefetch(at);
    __builtin_prefetch(&chunks_[chunk_in(at)].hashes[index_in(at)]);
  }

  std::uint32_t allocate(std::uint32_t run, std::int32_t base) {
    const std::uint32_t id = chunks_.allocate();
    info(id) = {.run = run, .base = base, .alias = 0, .aliases = 0, .blocks = 0, .copied = 0};
    return id;
  }
  void release(std::uint32_t id) { chunks_.release(id); }

 private:
  std::byte* data_;
  KvChunks chunks_;
};

class KvEngineMap {
 public:
  KvEngineMap(std::uint64_t seed, KvMemory& memory, KvBlocks& blocks);

  // Keys are engine hashes salted by their domain (a xor, so no two hashes share one).
  void prefetch(std::uint64_t key) const { entries_.prefetch(mixed(key)); }
  KvLocation find(std::uint64_t key) const {
    const KvLocation at = entries_.find(mixed(key), [this, key](KvLocation it) {
      blocks_.prefetch(it);
      return key_at(it) == key;
    });
    return at != 0 || records_.used() == 0 ? at : find_alias(key);
  }
  // Where a key of the slot's own name seems to be, unverified; 0: nowhere.
  KvLocation guess(std::uint64_t key) const {
    return entries_.find(mixed(key), [](KvLocation) { return true; });
  }
  // The key stands for the block at `at` from now on, which is about to carry it. 0; or, when the
  // key is known, the block for which it stands already.
  KvLocation insert(std::uint64_t key, KvLocation at) {
    if (records_.used() != 0) {
      if (const KvLocation known = find_alias(key); known != 0) return known;
    }
    return entries_.insert_unless(mixed(key), at,
                                  [this, key](KvLocation it) { return key_at(it) == key; });
  }
  void erase(std::uint64_t key, KvLocation at) { entries_.erase(mixed(key), at); }
  void rename(std::uint64_t key, KvLocation from, KvLocation to) {
    entries_.rename(mixed(key), from, to);
  }
  std::uint64_t key_at(KvLocation at) const {
    return blocks_.chunk(chunk_in(at)).hashes[index_in(at)];
  }

  // Splitting a chunk, or the death of its blocks, walks over all its aliases. Enough for each of
  // its blocks to be known to a thousand engines that all hash in their own way; an engine that
  // names one block in ever other ways gets no more.
  static constexpr std::uint16_t kAliasesMax = 16 * 1024;
  bool may_add_alias(KvLocation at, std::uint16_t most = kAliasesMax) const {
    return blocks_.info(chunk_in(at)).aliases < most;
  }
  // The key must be unknown, and may_add_alias().
  void add_alias(std::uint64_t key, KvLocation at);
  // Of a chunk's blocks [first, end).
  void drop_aliases(std::uint32_t chunk, std::uint32_t first, std::uint32_t end);
  std::uint32_t aliases() const { return records_.used(); }
  // Calls visit(block, key) for the aliases of a chunk's blocks.
  template <class Visit>
  void each_alias(std::uint32_t chunk, Visit&& visit) const {
    for (std::uint32_t id = blocks_.info(chunk).alias; id != 0; id = records_[id].next) {
      visit(records_[id].at, records_[id].key.load(std::memory_order_relaxed));
    }
  }
  // Pages that so many more entries may take, each of them with an alias or none of them.
  std::uint32_t pages_for(std::uint32_t entries) const { return entries_.pages_for(entries); }
  std::uint32_t pages_for_aliases(std::uint32_t aliases) const {
    return aliases_.pages_for(aliases) + records_.pages_for(aliases);
  }
  // Blocks from `first` on have moved to the same indexes of another chunk.
  void move_aliases(std::uint32_t from, std::uint32_t to, std::uint32_t first);

  // Beside the pages.
  std::size_t directory_bytes() const {
    return entries_.directory_bytes() + aliases_.directory_bytes();
  }

 private:
  struct alignas(32) Alias {
    std::atomic<std::uint64_t> key;
    KvLocation at;
    std::uint32_t next;
    std::uint32_t previous;
    std::atomic<std::uint64_t>& link() { return key; }
  };

  std::uint64_t mixed(std::uint64_t key) const {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(key ^ secret_) * multiplier_;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }
  KvLocation find_alias(std::uint64_t key) const;
  void attach(std::uint32_t id, KvLocation at);
  void detach(std::uint32_t id);

  KvBlocks& blocks_;
  std::uint64_t secret_;
  std::uint64_t multiplier_;
  KvBucketMap entries_;
  KvBucketMap aliases_;
  KvPool<Alias> records_;
};

}  // namespace fairlead::prefix
