// SPDX-License-Identifier: Apache-2.0
// TrafficTable: what went to each endpoint so far, one padded cell of relaxed atomics a slot: what
// decisions expected of its cache, and what its usage objects said. Only sums that grow, until a
// slot gets another owner. Units: requests, tokens. Threads: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/model/endpoint.h"

namespace fairlead::fleet {

struct Traffic {
  std::uint64_t decisions = 0;  // Tries sent there.
  std::uint64_t prompt_tokens = 0;
  std::uint64_t expected_cached_tokens = 0;  // Of these.
  std::uint64_t reported_prompt_tokens = 0;
  std::uint64_t reported_cached_tokens = 0;
  std::uint64_t reported_output_tokens = 0;
};

class TrafficTable {
 public:
  TrafficTable() : cells_(std::make_unique<Cell[]>(model::kMaxEndpoints)) {}

  void on_decision(std::uint32_t slot, std::uint64_t prompt, std::uint64_t expected_cached) {
    Cell& cell = cells_[slot];
    add(cell.decisions, 1);
    add(cell.prompt, prompt);
    add(cell.expected_cached, expected_cached);
  }
  void on_usage(std::uint32_t slot, std::uint64_t prompt, std::uint64_t cached,
                std::uint64_t output) {
    Cell& cell = cells_[slot];
    add(cell.reported_prompt, prompt);
    add(cell.reported_cached, cached);
    add(cell.reported_output, output);
  }
  Traffic read(std::uint32_t slot) const {
    const Cell& cell = cells_[slot];
    return {get(cell.decisions),       get(cell.prompt),          get(cell.expected_cached),
            get(cell.reported_prompt), get(cell.reported_cached), get(cell.reported_output)};
  }
  void reset(std::uint32_t slot) {
    Cell& cell = cells_[slot];
    for (Sum* sum : {&cell.decisions, &cell.prompt, &cell.expected_cached, &cell.reported_prompt,
                     &cell.reported_cached, &cell.reported_output}) {
      sum->store(0, std::memory_order_relaxed);
    }
  }

 private:
  using Sum = std::atomic<std::uint64_t>;
  struct alignas(64) Cell {
    Sum decisions{0};
    Sum prompt{0};
    Sum expected_cached{0};
    Sum reported_prompt{0};
    Sum reported_cached{0};
    Sum reported_output{0};
  };
  static void add(Sum& sum, std::uint64_t by) {
    if (by != 0) sum.fetch_add(by, std::memory_order_relaxed);
  }
  static std::uint64_t get(const Sum& sum) { return sum.load(std::memory_order_relaxed); }

  std::unique_ptr<Cell[]> cells_;
};

}  // namespace fairlead::fleet
