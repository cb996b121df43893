// SPDX-License-Identifier: Apache-2.0
// BlockPool: the KV blocks of one engine, their prefix-cache map and their eviction order.
//
// A block is held by zero or more sequences. One that no sequence holds is free, but keeps its
// content and can be hit until it is allocated anew; the least recently released goes first.
// Release a sequence's blocks tail first, so that the end of a prefix is evicted before its start.
// Two sequences that compute the same content own a block each, and the first published one
// is hit while it lives, then the next. Every call is O(1) up to the number of such duplicates.
// Thread-compatible. Source: vLLM V1's block pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lab/engine/model/cache_log.h"

namespace fairlead::engine {

class BlockPool {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  explicit BlockPool(std::uint32_t blocks);

  std::uint32_t size() const { return size_; }
  std::uint32_t free() const { return free_; }
  bool held(std::uint32_t block) const { return blocks_[block].holders > 0; }

  // The block with this content, held or not; kNone when there is none.
  std::uint32_t find(std::uint64_t hash) const;
  // Takes the least recently released free block, empty, with one holder. free() must not be 0.
  std::uint32_t allocate();
  // Adds a holder to a block that find() gave.
  void hold(std::uint32_t block);
  // Makes the content known; the block is held and unpublished.
  void publish(std::uint32_t block, std::uint64_t hash);
  // The content was told of: its end is written to the log.
  void announce(std::uint32_t block) { blocks_[block].announced = true; }
  // Appends the content of every block that was told of and has not ended; duplicates are told
  // each.
  void list_announced(std::vector<std::uint64_t>& hashes) const;
  // Where evictions of announced blocks and forget_all() are written; null: nowhere.
  void log_to(CacheLog* log) { log_ = log; }
  // Drops one holder of each, the last block first.
  void release_tail_first(std::span<const std::uint32_t> blocks);
  // Forgets all content. Only while no block is held.
  void forget_all();

 private:
  struct Block {
    std::uint64_t hash = 0;
    std::uint32_t previous = kNone;  // In the free list.
    std::uint32_t next = kNone;
    std::uint32_t duplicate = kNone;  // Next block with the same hash.
    std::uint32_t holders = 0;
    bool published = false;
    bool announced = false;
  };

  std::size_t home(std::uint64_t hash) const;
  std::size_t slot_of(std::uint64_t hash) const;
  void unpublish(std::uint32_t block);
  void erase_slot(std::size_t slot);
  void unlink(std::uint32_t block);
  void push_free(std::uint32_t block);

  std::uint32_t size_;
  std::uint32_t free_;
  std::vector<Block> blocks_;         // One more than size_: the last is the free list's sentinel.
  std::vector<std::uint32_t> slots_;  // Open addressing, linear probing: block or kNone.
  int shift_;
  CacheLog* log_ = nullptr;
};

}  // namespace fairlead::engine
