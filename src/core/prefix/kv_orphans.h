// SPDX-License-Identifier: Apache-2.0
// KvOrphans: stores whose parent is not known (after a gap, or out of order), waiting for it. At
// most `blocks_max` blocks wait; the oldest store makes room. A removal that meets a waiting block
// takes it out, so that what was evicted meanwhile is not believed later. Not on the hot path: it
// allocates. Threads: the lane's writer.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace fairlead::prefix {

struct KvOrphan {
  std::uint16_t slot = 0;
  std::uint32_t generation = 0;  // Of the slot: a retired slot's orphans are void.
  std::uint64_t parent = 0;
  std::vector<std::uint64_t> hashes;
  std::vector<std::uint64_t> contents;
  std::vector<char> gone;  // Removed while waiting.
};

class KvOrphans {
 public:
  // What a block takes at most, waiting alone.
  static constexpr std::size_t kBytesMax = 320;

  explicit KvOrphans(std::uint32_t blocks_max) : blocks_max_(blocks_max) {}

  // `parent_key` is the parent's hash salted by its domain. Returns the blocks dropped for room.
  std::uint64_t park(std::uint64_t parent_key, KvOrphan orphan);
  // Whether one may be waiting for this; never misses one.
  bool waiting(std::uint64_t parent_key) const {
    return blocks_ != 0 && filter_[parent_key % kFilter] != 0;
  }
  // The oldest waiting for it.
  std::optional<KvOrphan> take(std::uint64_t parent_key);
  // The oldest of this slot.
  std::optional<KvOrphan> take(std::uint64_t parent_key, std::uint16_t slot,
                               std::uint32_t generation);
  enum class Cancelled : std::uint8_t { kNone, kOne };
  Cancelled cancel(std::uint16_t slot, std::uint32_t generation, std::uint64_t hash);

  std::uint64_t blocks() const { return blocks_; }
  // An estimate, with the nodes of the indexes.
  std::size_t bytes() const { return blocks_ * 80 + waiting_.size() * 240; }

 private:
  struct Waiting {
    std::uint64_t parent_key;
    KvOrphan orphan;
  };
  static constexpr std::size_t kFilter = 4093;

  static std::uint64_t block_key(std::uint16_t slot, std::uint32_t generation, std::uint64_t hash);
  KvOrphan remove(std::map<std::uint64_t, Waiting>::iterator at);

  std::uint32_t blocks_max_;
  std::uint64_t blocks_ = 0;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, Waiting> waiting_;  // By age.
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_parent_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_block_;
  std::array<std::uint32_t, kFilter> filter_{};
};

}  // namespace fairlead::prefix
