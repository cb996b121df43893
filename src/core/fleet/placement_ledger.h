// SPDX-License-Identifier: Apache-2.0
// PlacementLedger: memory of past decisions that outlives a configuration reload.
//
// It keeps when each endpoint last got a prompt that no endpoint had cached (for even placement of
// new prefixes), how many uncached tokens each ever got, and the round-robin position. All are
// hints: relaxed atomics, any threads. A restart of the process keeps all but the tokens.
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
        last_cold_(std::make_unique<std::atomic<std::uint64_t>[]>(model::kMaxEndpoints)),
        placed_(std::make_unique<std::atomic<std::uint64_t>[]>(model::kMaxEndpoints)) {}

  // A logical stamp, ascending with each cold placement; 0 means never.
  std::uint64_t last_cold(std::uint32_t slot) const {
    return last_cold_[slot].load(std::memory_order_relaxed);
  }
  void note_cold(std::uint32_t slot) {
    const std::uint64_t stamp = stamp_.fetch_add(1, std::memory_order_relaxed) + 1;
    last_cold_[slot].store(stamp, std::memory_order_relaxed);
  }
  void forget(std::uint32_t slot) {
    last_cold_[slot].store(0, std::memory_order_relaxed);
    placed_[slot].store(0, std::memory_order_relaxed);
  }

  // Uncached prompt tokens sent there by policies that ask for the sum: what a record of its
  // prompts without an end would have grown to.
  std::uint64_t placed(std::uint32_t slot) const {
    return placed_[slot].load(std::memory_order_relaxed);
  }
  void note_placed(std::uint32_t slot, std::uint64_t tokens) {
    placed_[slot].fetch_add(tokens, std::memory_order_relaxed);
  }

  // How many cold placements there were since the slot's last one, it included; 0: it had none.
  std::uint64_t cold_age(std::uint32_t slot) const {
    const std::uint64_t last = last_cold(slot);
    return last == 0 ? 0 : stamp_.load(std::memory_order_relaxed) - last + 1;
  }
  // Goes on from another process's turn and ages, of which `oldest` is the greatest. Before use.
  void resume(std::uint64_t turn, std::uint64_t oldest) {
    turn_.store(turn, std::memory_order_relaxed);
    stamp_.store(oldest, std::memory_order_relaxed);
    resumed_ = oldest;
  }
  void resume_cold(std::uint32_t slot, std::uint64_t age) {
    if (age == 0 || age > resumed_) return;
    last_cold_[slot].store(resumed_ - age + 1, std::memory_order_relaxed);
  }

  std::uint64_t turn() const { return turn_.load(std::memory_order_relaxed); }
  std::uint64_t next_turn() { return turn_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> turn_;
  std::atomic<std::uint64_t> stamp_{0};
  std::uint64_t resumed_ = 0;
  std::unique_ptr<std::atomic<std::uint64_t>[]> last_cold_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> placed_;
};

}  // namespace fairlead::fleet
