// SPDX-License-Identifier: Apache-2.0
// PlacementLedger: memory of past decisions that outlives a configuration reload.
//
// It keeps when each endpoint last got a prompt that no endpoint had cached (for even placement of
// new prefixes) and the round-robin position. Both are hints: relaxed atomics, any threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/model/endpoint.h"

namespace fairlead::fleet {

class PlacementLedger {
 public:
  // `turn` is the first that next_turn() gives.
  explicit PlacementLedger(std::uint64_t turn = 0)
      : turn_(turn),
        last_cold_(std::make_unique<std::atomic<std::uint64_t>[]>(model::kMaxEndpoints)) {}

  // A logical stamp, ascending with each cold placement; 0 means never.
  std::uint64_t last_cold(std::uint32_t slot) const {
    return last_cold_[slot].load(std::memory_order_relaxed);
  }
  void note_cold(std::uint32_t slot) {
    const std::uint64_t stamp = stamp_.fetch_add(1, std::memory_order_relaxed) + 1;
    last_cold_[slot].store(stamp, std::memory_order_relaxed);
  }
  void forget(std::uint32_t slot) { last_cold_[slot].store(0, std::memory_order_relaxed); }

  std::uint64_t turn() const { return turn_.load(std::memory_order_relaxed); }
  std::uint64_t next_turn() { return turn_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> turn_;
  std::atomic<std::uint64_t> stamp_{0};
  std::unique_ptr<std::atomic<std::uint64_t>[]> last_cold_;
};

}  // namespace fairlead::fleet
