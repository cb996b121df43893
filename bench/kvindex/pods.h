// SPDX-License-Identifier: Apache-2.0
// Pods: caches of engines, as exact LRU of whole blocks, and the naive twin of every index: the
// depth of a prompt in a pod is the number of its leading blocks that are in the pod's set.
//
// A block is a number of the workload's; its hashes follow from it (hash_of), so equal numbers are
// equal prefixes. Single-threaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fairlead::bench {

using Block = std::uint32_t;

// Blocks and their stamps: open addressing, since there are millions.
class StampMap {
 public:
  // The stamp of a block that is there.
  std::uint32_t* find(Block block);
  const std::uint32_t* find(Block block) const { return const_cast<StampMap*>(this)->find(block); }
  void put(Block block, std::uint32_t stamp);
  void erase(Block block);
  std::size_t size() const { return size_; }

 private:
  struct Slot {
    Block block;
    std::uint32_t stamp;
  };
  static constexpr Block kFree = ~Block{0};

  std::size_t home(Block block) const;
  void grow();

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
  int shift_ = 64;
};

class Pod {
 public:
  bool holds(Block block) const { return held_.find(block) != nullptr; }
  std::size_t size() const { return held_.size(); }
  // Leading blocks of the prompt that are held.
  std::size_t depth(std::span<const Block> prompt) const;

  // Held and in use: not to be evicted before release().
  void use(Block block) { held_.put(block, ++stamp_); }
  // In use no longer; the tail becomes the least recent.
  void release(std::span<const Block> sequence);
  void drop(Block block) { held_.erase(block); }
  // Drops up to `count` of the least recent blocks not in use, in order.
  std::vector<Block> evict(std::size_t count);

 private:
  struct Released {
    Block block;
    std::uint32_t stamp;
  };

  StampMap held_;
  std::vector<Released> queue_;  // Whose stamp is not the map's is out of date.
  std::size_t front_ = 0;
  std::uint32_t stamp_ = 0;
};

}  // namespace fairlead::bench
