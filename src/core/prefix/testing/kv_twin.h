// SPDX-License-Identifier: Apache-2.0
// KvTwin: what slots hold, the plain way: for each slot a map from chain keys to copies. It is told
// the true keys, so that it knows no parents, orphans, domains or runs. The KV index must answer as
// it does.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/prefix/kv_lane.h"

namespace fairlead::prefix {

class KvTwin {
 public:
  KvTwin(std::uint32_t slots, std::uint32_t copies_max) : slots_(slots), copies_max_(copies_max) {}

  void store(KvSlot slot, std::span<const std::uint64_t> hashes,
             std::span<const std::uint64_t> keys) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      slots_[slot].keys[hashes[i]] = keys[i];
      std::uint32_t& copies = slots_[slot].copies[keys[i]];
      if (copies < copies_max_) ++copies;
    }
  }
  void remove(KvSlot slot, std::span<const std::uint64_t> hashes) {
    Slot& mine = slots_[slot];
    for (const std::uint64_t hash : hashes) {
      const auto key = mine.keys.find(hash);
      if (key == mine.keys.end()) continue;
      const auto held = mine.copies.find(key->second);
      if (held == mine.copies.end()) continue;
      if (--held->second == 0) mine.copies.erase(held);
    }
  }
  void retire(KvSlot slot) { slots_[slot] = {}; }

  bool holds(KvSlot slot, std::uint64_t key) const { return slots_[slot].copies.contains(key); }
  std::uint64_t held_blocks(KvSlot slot) const { return slots_[slot].copies.size(); }
  std::uint32_t depth(KvSlot slot, std::span<const std::uint64_t> keys) const {
    std::uint32_t held = 0;
    while (held < keys.size() && holds(slot, keys[held])) ++held;
    return held;
  }

 private:
  struct Slot {
    std::unordered_map<std::uint64_t, std::uint64_t> keys;  // By engine hash.
    std::unordered_map<std::uint64_t, std::uint32_t> copies;
  };
  std::vector<Slot> slots_;
  std::uint32_t copies_max_;
};

}  // namespace fairlead::prefix
