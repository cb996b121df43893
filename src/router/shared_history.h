// SPDX-License-Identifier: Apache-2.0
// SharedHistory: one RoutedHistory for all workers of a router. Workers match under a shared lock
// and record under an exclusive one, after the request has left; both are held for microseconds
// (figures: bench_history). Thread-safe.
#pragma once

#include <atomic>
#include <mutex>
#include <shared_mutex>

#include "core/picker/picker.h"
#include "core/prefix/routed_history.h"

namespace fairlead::router {

class SharedHistory final : public prefix::PrefixKnowledge, public picker::DispatchRecorder {
 public:
  SharedHistory(std::size_t block_bytes, std::uint64_t default_budget_bytes)
      : block_bytes_(block_bytes), history_(block_bytes, default_budget_bytes) {}

  void match(std::span<const std::uint64_t> keys,
             std::span<prefix::MatchedBlocks> out) const override {
    const std::shared_lock lock(mutex_);
    history_.match(keys, out);
  }
  std::size_t block_bytes() const override { return block_bytes_.load(std::memory_order_relaxed); }

  void record(std::uint32_t slot, std::span<const std::uint64_t> keys) override {
    const std::unique_lock lock(mutex_);
    history_.record(slot, keys);
  }
  // Starts anew: keys of blocks of another size mean nothing to each other. A request under way
  // may still record some; they match nothing and age out.
  void restart(std::size_t block_bytes, std::uint64_t default_budget_bytes) {
    const std::unique_lock lock(mutex_);
    history_ = prefix::RoutedHistory(block_bytes, default_budget_bytes);
    block_bytes_.store(block_bytes, std::memory_order_relaxed);
  }
  void forget(std::uint32_t slot) {
    const std::unique_lock lock(mutex_);
    history_.forget(slot);
  }
  void set_budget(std::uint32_t slot, std::uint64_t bytes) {
    const std::unique_lock lock(mutex_);
    history_.set_budget(slot, bytes);
  }
  // Of one endpoint, for a restart of the router. Held no longer than it takes to copy its keys.
  void save(std::uint32_t slot, std::size_t blocks_max, codec::RestartHistory& out) const {
    const std::shared_lock lock(mutex_);
    history_.save(slot, blocks_max, out);
  }
  void restore(std::uint32_t slot, const codec::RestartHistory& saved) {
    const std::unique_lock lock(mutex_);
    history_.restore(slot, saved);
  }
  prefix::RoutedHistory::Figures figures() const {
    const std::shared_lock lock(mutex_);
    return history_.figures();
  }
  std::size_t memory_bytes() const {
    const std::shared_lock lock(mutex_);
    return history_.memory_bytes();
  }

 private:
  std::atomic<std::size_t> block_bytes_;
  mutable std::shared_mutex mutex_;
  prefix::RoutedHistory history_;
};

}  // namespace fairlead::router
