// SPDX-License-Identifier: Apache-2.0
// OverloadState: what the workers of a process and the OverloadMonitor tell each other: counts that
// all share, open WebSockets among them, a worker's own figures, and the actions in force.
// Threads: relaxed atomics; a cell is written by its worker, the actions by the monitor. A request
// reads one word.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/time.h"
#include "core/admission/overload.h"
#include "io/net/server_budget.h"

namespace fairlead::router {

inline constexpr std::size_t kWorkersMax = 256;  // As gateway.workers allows.
// How often a worker writes its cell.
inline constexpr Duration kBeatInterval = std::chrono::milliseconds(100);

class OverloadState {
 public:
  struct alignas(64) WorkerCell {
    std::atomic<std::int64_t> beat{0};  // When it wrote this, in nanoseconds; 0: not running.
    std::atomic<std::uint64_t> engine_connections{0};
  };

  admission::OverloadActions actions() const {
    return admission::OverloadActions(actions_.load(std::memory_order_relaxed));
  }
  void set_actions(admission::OverloadActions actions) {
    actions_.store(actions.word(), std::memory_order_relaxed);
  }
  net::ServerBudget& budget() { return budget_; }
  // One of limits.tunnels; false when all are taken.
  bool take_tunnel(std::uint32_t most) {
    if (tunnels_.fetch_add(1, std::memory_order_relaxed) < most) return true;
    give_back_tunnels(1);
    return false;
  }
  void give_back_tunnels(std::uint32_t count) {
    tunnels_.fetch_sub(count, std::memory_order_relaxed);
  }
  WorkerCell& cell(std::size_t worker) { return cells_[worker]; }

 private:
  std::atomic<std::uint32_t> actions_{0};
  alignas(64) std::atomic<std::uint32_t> tunnels_{0};
  net::ServerBudget budget_;
  std::array<WorkerCell, kWorkersMax> cells_;
};

}  // namespace fairlead::router
