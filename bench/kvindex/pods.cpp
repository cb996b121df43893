// SPDX-License-Identifier: Apache-2.0
#include "pods.h"

#include <bit>
#include <ranges>

namespace fairlead::bench {

std::size_t StampMap::home(Block block) const {
  return static_cast<std::size_t>((block + 1) * 0x9e37'79b9'7f4a'7c15u >> shift_);
}

std::uint32_t* StampMap::find(Block block) {
  if (slots_.empty()) return nullptr;
  for (std::size_t at = home(block);; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].block == block) return &slots_[at].stamp;
    if (slots_[at].block == kFree) return nullptr;
  }
}

void StampMap::put(Block block, std::uint32_t stamp) {
  if (std::uint32_t* known = find(block)) {
    *known = stamp;
    return;
  }
  if ((size_ + 1) * 4 > slots_.size() * 3) grow();
  std::size_t at = home(block);
  while (slots_[at].block != kFree) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {block, stamp};
  ++size_;
}

void StampMap::erase(Block block) {
  if (find(block) == nullptr) return;
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = home(block);
  while (slots_[hole].block != block) hole = (hole + 1) & mask;
  for (std::size_t at = (hole + 1) & mask; slots_[at].block != kFree; at = (at + 1) & mask) {
    // Whoever would be found through the hole moves into it.
    if (((at - home(slots_[at].block)) & mask) < ((at - hole) & mask)) continue;
    slots_[hole] = slots_[at];
    hole = at;
  }
  slots_[hole].block = kFree;
  --size_;
}

void StampMap::grow() {
  const std::size_t wanted = slots_.empty() ? 64 : slots_.size() * 2;
  std::vector<Slot> old(wanted, Slot{kFree, 0});
  old.swap(slots_);
  shift_ = 64 - std::countr_zero(wanted);
  size_ = 0;
  for (const Slot& slot : old) {
    if (slot.block != kFree) put(slot.block, slot.stamp);
  }
}

std::size_t Pod::depth(std::span<const Block> prompt) const {
  std::size_t depth = 0;
  while (depth < prompt.size() && holds(prompt[depth])) ++depth;
  return depth;
}

void Pod::release(std::span<const Block> sequence) {
  for (const Block block : sequence | std::views::reverse) {
    if (!holds(block)) continue;
    use(block);
    queue_.push_back({block, stamp_});
  }
}

std::vector<Block> Pod::evict(std::size_t count) {
  std::vector<Block> out;
  while (out.size() < count && front_ < queue_.size()) {
    const Released oldest = queue_[front_++];
    const std::uint32_t* stamp = held_.find(oldest.block);
    if (stamp == nullptr || *stamp != oldest.stamp) continue;
    drop(oldest.block);
    out.push_back(oldest.block);
  }
  return out;
}

}  // namespace fairlead::bench
