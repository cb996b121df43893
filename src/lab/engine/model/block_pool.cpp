// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/model/block_pool.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/assert.h"

namespace fairlead::engine {

BlockPool::BlockPool(std::uint32_t blocks)
    : size_(blocks), free_(0), blocks_(std::size_t{blocks} + 1) {
  FAIRLEAD_ASSERT(blocks > 0 && blocks < kNone);
  // At most half full, so that probes stay short.
  const std::size_t slots = std::bit_ceil(std::size_t{blocks} * 2);
  slots_.assign(slots, kNone);
  shift_ = 64 - std::countr_zero(slots);
  blocks_[size_].previous = size_;
  blocks_[size_].next = size_;
  for (std::uint32_t block = 0; block < size_; ++block) push_free(block);
}

std::size_t BlockPool::home(std::uint64_t hash) const {
  // Fibonacci hashing: callers may use plain numbers as hashes.
  return static_cast<std::size_t>((hash * 0x9E3779B97F4A7C15ULL) >> shift_);
}

std::size_t BlockPool::slot_of(std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = home(hash);
  while (slots_[slot] != kNone && blocks_[slots_[slot]].hash != hash) slot = (slot + 1) & mask;
  return slot;
}

std::uint32_t BlockPool::find(std::uint64_t hash) const { return slots_[slot_of(hash)]; }

std::uint32_t BlockPool::allocate() {
  FAIRLEAD_ASSERT(free_ > 0);
  const std::uint32_t block = blocks_[size_].next;
  unlink(block);
  if (blocks_[block].published) unpublish(block);
  blocks_[block].holders = 1;
  return block;
}

void BlockPool::hold(std::uint32_t block) {
  if (blocks_[block].holders == 0) unlink(block);
  ++blocks_[block].holders;
}

void BlockPool::publish(std::uint32_t block, std::uint64_t hash) {
  Block& added = blocks_[block];
  FAIRLEAD_DEBUG_ASSERT(added.holders > 0 && !added.published);
  added.hash = hash;
  added.published = true;
  added.duplicate = kNone;
  const std::size_t slot = slot_of(hash);
  if (slots_[slot] == kNone) {
    slots_[slot] = block;
    return;
  }
  std::uint32_t last = slots_[slot];
  while (blocks_[last].duplicate != kNone) last = blocks_[last].duplicate;
  blocks_[last].duplicate = block;
}

void BlockPool::release_tail_first(std::span<const std::uint32_t> blocks) {
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    FAIRLEAD_DEBUG_ASSERT(blocks_[*block].holders > 0);
    if (--blocks_[*block].holders == 0) push_free(*block);
  }
}

void BlockPool::forget_all() {
  FAIRLEAD_ASSERT(free_ == size_);
  for (Block& block : blocks_) {
    block.published = false;
    block.announced = false;
    block.duplicate = kNone;
  }
  if (log_ != nullptr) log_->push_back({.kind = CacheChange::Kind::kCleared});
  std::fill(slots_.begin(), slots_.end(), kNone);
}

void BlockPool::list_announced(std::vector<std::uint64_t>& hashes) const {
  for (const Block& block : blocks_) {
    if (block.announced) hashes.push_back(block.hash);
  }
}

void BlockPool::unpublish(std::uint32_t block) {
  Block& gone = blocks_[block];
  gone.published = false;
  if (std::exchange(gone.announced, false) && log_ != nullptr) {
    log_->push_back({.kind = CacheChange::Kind::kRemoved, .hash = gone.hash});
  }
  const std::size_t slot = slot_of(gone.hash);
  if (slots_[slot] != block) {
    std::uint32_t before = slots_[slot];
    while (blocks_[before].duplicate != block) before = blocks_[before].duplicate;
    blocks_[before].duplicate = gone.duplicate;
  } else if (gone.duplicate != kNone) {
    slots_[slot] = gone.duplicate;
  } else {
    erase_slot(slot);
  }
  gone.duplicate = kNone;
}

// Backward shift: later entries of the probe run move up, so no tombstones gather.
void BlockPool::erase_slot(std::size_t slot) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = slot;
  for (std::size_t at = (slot + 1) & mask; slots_[at] != kNone; at = (at + 1) & mask) {
    const std::size_t from_home = (at - home(blocks_[slots_[at]].hash)) & mask;
    if (from_home < ((at - hole) & mask)) continue;
    slots_[hole] = slots_[at];
    hole = at;
  }
  slots_[hole] = kNone;
}

void BlockPool::unlink(std::uint32_t block) {
  const Block& gone = blocks_[block];
  blocks_[gone.previous].next = gone.next;
  blocks_[gone.next].previous = gone.previous;
  --free_;
}

void BlockPool::push_free(std::uint32_t block) {
  const std::uint32_t last = blocks_[size_].previous;
  blocks_[block].previous = last;
  blocks_[block].next = size_;
  blocks_[last].next = block;
  blocks_[size_].previous = block;
  ++free_;
}

}  // namespace fairlead::engine
