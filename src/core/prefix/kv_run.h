// SPDX-License-Identifier: Apache-2.0
// A run: consecutive blocks of one chain that have, but for a few holders of only its beginning,
// the same holders. Runs are not linked: a key commits to everything before it, so whichever run
// begins with a query's key is the right one, and a table from first keys to runs replaces parents
// and children. A key is in at most one run.
//
// Blocks live in chunks of 16, keys and engine hashes side by side. A block keeps its chunk and its
// place in it for as long as it is known (a split moves at most 15 blocks), so that the engine map
// can name blocks by (chunk, index) whatever happens to runs. Block p of a run is number start + p
// counted from the run's first chunk.
//
// Readers use a run under its version, which is odd while the writer changes it (a seqlock). All
// that they read is atomic, relaxed; the fences are in the functions below.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "core/prefix/kv_arena.h"

namespace fairlead::prefix {

inline constexpr std::uint32_t kChunkBlocks = 16;
inline constexpr std::uint32_t kRunBlocksMax = 4096;  // start included: 256 chunks.
inline constexpr std::uint32_t kInlineFull = 8;
inline constexpr std::uint32_t kInlinePartial = 4;
inline constexpr std::uint32_t kPartialMax = 16;
inline constexpr std::uint32_t kInlineChunks = 8;

struct KvChunk {
  std::array<std::atomic<std::uint64_t>, kChunkBlocks> keys;
  // The engine hash that came first, salted by its domain. Only the writer reads it.
  std::array<std::uint64_t, kChunkBlocks> hashes;

  std::atomic<std::uint64_t>& link() { return keys[0]; }
};

// The writer's facts of a chunk, apart from it so that they stay in the cache.
struct KvChunkInfo {
  std::uint32_t run;
  std::int32_t base;      // Block at index i is number base + i of the run.
  std::uint32_t alias;    // First of the chunk's aliases (kv_engine_map.h).
  std::uint16_t aliases;  // How many these are.
  std::uint8_t blocks;    // How many of its blocks are alive.
  std::uint8_t copied;    // Whether a slot ever had a second copy of one of them.
};

// How the full holders are kept: inline, in a list of 16 << n slots, or as bits.
inline constexpr std::uint16_t kShapeInline = 0;
inline constexpr std::uint16_t kShapeList = 1;  // + size class, at most 3.
inline constexpr std::uint16_t kShapeBits = 8;

struct alignas(64) KvRun {
  std::atomic<std::uint32_t> version;
  std::atomic<std::uint16_t> length;  // Blocks; 0 while free.
  std::atomic<std::uint16_t> full_count;
  std::atomic<std::uint64_t> first_key;
  std::atomic<std::uint64_t> last_key;
  // Four slots a word; or the reference of the list or bits in the first.
  std::array<std::atomic<std::uint64_t>, 2> full;
  std::atomic<std::uint16_t> full_shape;
  std::atomic<std::uint16_t> partial_count;
  std::atomic<std::uint32_t> partial_ref;  // Eight words once inline does not do.
  // Holders of only the beginning, two a word: slot << 16 | blocks.
  std::array<std::atomic<std::uint64_t>, 2> partial;

  std::atomic<std::uint32_t> start;
  std::atomic<std::uint32_t> table;  // Two chunk ids a word once inline does not do.
  std::array<std::atomic<std::uint32_t>, kInlineChunks> chunks;
  std::uint32_t table_class;
  std::uint32_t touched;  // Stored into since the clock hand passed.
  std::atomic<std::uint64_t> next_free;

  std::atomic<std::uint64_t>& link() { return next_free; }
};
static_assert(sizeof(KvRun) == 128);

using KvRuns = KvPool<KvRun>;
// A page of chunks begins with their infos.
inline constexpr std::uint32_t kChunksAPage = KvMemory::kPageBytes / sizeof(KvChunk);
using KvChunks = KvPool<KvChunk, kChunksAPage * sizeof(KvChunkInfo) / sizeof(KvChunk)>;

// Four 16-bit or two 32-bit values a word. One writer, so read-modify-write needs no exchange.
inline std::uint32_t half_of(const KvWords::Word* words, std::uint32_t i) {
  return static_cast<std::uint32_t>(words[i / 2].load(std::memory_order_relaxed) >> (i % 2 * 32));
}
inline void set_half(KvWords::Word* words, std::uint32_t i, std::uint32_t value) {
  const unsigned shift = i % 2 * 32;
  const std::uint64_t rest =
      words[i / 2].load(std::memory_order_relaxed) & ~(std::uint64_t{0xffffffff} << shift);
  words[i / 2].store(rest | std::uint64_t{value} << shift, std::memory_order_relaxed);
}
inline std::uint16_t quarter_of(const KvWords::Word* words, std::uint32_t i) {
  return static_cast<std::uint16_t>(words[i / 4].load(std::memory_order_relaxed) >> (i % 4 * 16));
}
inline void set_quarter(KvWords::Word* words, std::uint32_t i, std::uint16_t value) {
  const unsigned shift = i % 4 * 16;
  const std::uint64_t rest =
      words[i / 4].load(std::memory_order_relaxed) & ~(std::uint64_t{0xffff} << shift);
  words[i / 4].store(rest | std::uint64_t{value} << shift, std::memory_order_relaxed);
}

// The chunk that holds block number `at` (start included).
inline std::uint32_t chunk_at(const KvRun& run, const KvWords& words, std::uint32_t number) {
  const std::uint32_t table = run.table.load(std::memory_order_relaxed);
  return table == 0 ? run.chunks[number % kInlineChunks].load(std::memory_order_relaxed)
                    : half_of(words.at(table), number);
}

// A change that readers must not see in parts. Sections of one run do not nest.
class KvWriteSection {
 public:
  explicit KvWriteSection(KvRun& run)
      : run_(run), version_(run.version.load(std::memory_order_relaxed)) {
    run_.version.store(version_ + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
  }
  ~KvWriteSection() { run_.version.store(version_ + 2, std::memory_order_release); }
  KvWriteSection(const KvWriteSection&) = delete;
  KvWriteSection& operator=(const KvWriteSection&) = delete;

 private:
  KvRun& run_;
  std::uint32_t version_;
};

// What was read since `version` was loaded (acquire, even) belongs together.
inline bool still(const std::atomic<std::uint32_t>& now, std::uint32_t version) {
  std::atomic_thread_fence(std::memory_order_acquire);
  return now.load(std::memory_order_relaxed) == version;
}

}  // namespace fairlead::prefix
