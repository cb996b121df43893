// SPDX-License-Identifier: Apache-2.0
// KvOrphans: stores whose parent is not known (after a gap, or out of order), waiting for it. At
// most `blocks_max` blocks wait; the oldest store of the slot of which most wait makes room, so
// that who floods it makes room for itself. A removal that meets a waiting block takes it out, so
// that what was evicted meanwhile is not believed later. Not on the hot path: it allocates.
// Threads: the lane's writer.
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
  // What a slot takes, beside its blocks, while any of them wait.
  static constexpr std::size_t kSlotBytes = 128;

  explicit KvOrphans(std::uint32_t blocks_max) : blocks_max_(blocks_max) {}

  // `parent_key` is the parent's hash salted by its domain. Returns the blocks dropped for room.
  std::uint64_t park(std::uint64_t parent_key, KvOrphan orphan);
  // Whether one may be waiting for this; never misses one.
  bool waiting(std::uint64_t parent_key) const {
    return blocks_ != 0 && filter_[parent_key % kFilter] != 0;
  }
  // The oldest waiting for it, of one slot after the other.
  std::optional<KvOrphan> take(std::uint64_t parent_key);
  // The oldest of this slot.
  std::optional<KvOrphan> take(std::uint64_t parent_key, std::uint16_t slot,
                               std::uint32_t generation);
  enum class Cancelled : std::uint8_t { kNone, kOne };
  Cancelled cancel(std::uint16_t slot, std::uint32_t generation, std::uint64_t hash);

  std::uint64_t blocks() const { return blocks_; }
  // An estimate, with the nodes of the indexes.
  std::size_t bytes() const {
    return blocks_ * 80 + waiting_.size() * 240 + shares_.size() * kSlotBytes;
  }

 private:
  struct Waiting {
    std::uint64_t parent_key;
    KvOrphan orphan;
  };
  static constexpr std::size_t kFilter = 4093;

  static std::uint64_t block_key(std::uint16_t slot, std::uint32_t generation, std::uint64_t hash);
  // By the slot, and within it by age.
  static std::uint64_t first_of(std::uint16_t slot) { return std::uint64_t{slot} << 48; }
  // The slot whose oldest store makes room for so many blocks of `slot`.
  std::uint16_t yields(std::uint16_t slot, std::uint64_t size) const;
  void set_share(std::uint16_t slot, std::uint64_t blocks);
  std::uint64_t share(std::uint16_t slot) const;
  KvOrphan remove(std::map<std::uint64_t, Waiting>::iterator at);

  std::uint32_t blocks_max_;
  std::uint64_t blocks_ = 0;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, Waiting> waiting_;       // By slot and age.
  std::map<std::uint16_t, std::uint64_t> shares_;  // Blocks by slot; no zeros.
  std::set<std::pair<std::uint64_t, std::uint16_t>> by_share_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_parent_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_block_;
  std::array<std::uint32_t, kFilter> filter_{};
};

}  // namespace fairlead::prefix
