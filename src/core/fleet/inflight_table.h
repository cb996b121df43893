// SPDX-License-Identifier: Apache-2.0
// InFlightTable: what this router has sent to each endpoint and not yet seen the end of, and what
// it ever sent there.
//
// A share is taken when the decision is made, not when the engine reports it, so a burst does not
// herd. Its parts end at different moments: the uncached prompt tokens and the `unstarted` mark at
// the first token, the request itself and its context at its end. A share is move-only and releases
// what it still holds when it dies, so the table is exact after any failure. A slot that left the
// pool keeps swallowing releases; fleet::Fleet reuses it only when in_use() is false.
// Threads: any; one padded cell of atomics a slot.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "core/model/endpoint.h"

namespace fairlead::fleet {

struct InFlight {
  std::int64_t requests = 0;
  std::int64_t uncached_tokens = 0;  // Prompt tokens still to be computed, by our estimate.
  std::int64_t unstarted = 0;        // Requests without a first token.
  // Prompt tokens, cached or not, of the requests whose policy asked for them when they were sent.
  std::int64_t context_tokens = 0;
};

class InFlightTable;

// What was ever sent there. Only its growth means anything: it wraps, and a slot's next owner goes
// on from it.
struct Sent {
  std::uint64_t requests = 0;
  std::uint64_t uncached_tokens = 0;
};

class InFlightShare {
 public:
  InFlightShare() = default;
  InFlightShare(InFlightTable& table, model::EndpointRef endpoint, std::int64_t uncached_tokens,
                std::int64_t context_tokens = 0);
  InFlightShare(InFlightShare&& other) noexcept { swap(other); }
  InFlightShare& operator=(InFlightShare&& other) noexcept {
    InFlightShare dying(std::move(other));
    swap(dying);
    return *this;
  }
  InFlightShare(const InFlightShare&) = delete;
  InFlightShare& operator=(const InFlightShare&) = delete;
  ~InFlightShare() { release(); }

  // The first token came: prefill is over.
  void first_token();
  // It is at this endpoint after all; what has ended of it stays so.
  void rebind(model::EndpointRef endpoint);
  // The request ended, or is about to be tried elsewhere.
  void release();
  bool held() const { return table_ != nullptr; }
  model::EndpointRef endpoint() const { return endpoint_; }

 private:
  void swap(InFlightShare& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(endpoint_, other.endpoint_);
    std::swap(held_, other.held_);
  }

  InFlightTable* table_ = nullptr;
  model::EndpointRef endpoint_;
  InFlight held_;
};

class InFlightTable {
 public:
  InFlightTable() : cells_(std::make_unique<Cell[]>(model::kMaxEndpoints)) {}

  InFlight read(std::uint32_t slot) const {
    const Cell& cell = cells_[slot];
    return {cell.requests.load(std::memory_order_relaxed),
            cell.uncached_tokens.load(std::memory_order_relaxed),
            cell.unstarted.load(std::memory_order_relaxed),
            cell.context_tokens.load(std::memory_order_relaxed)};
  }
  Sent sent(std::uint32_t slot) const {
    const Cell& cell = cells_[slot];
    return {cell.sent_requests.load(std::memory_order_acquire),
            cell.sent_tokens.load(std::memory_order_acquire)};
  }
  bool in_use(std::uint32_t slot) const { return read(slot).requests != 0; }
  // All slots together; every part is zero when nothing is in flight.
  InFlight total() const;

 private:
  friend class InFlightShare;
  struct alignas(64) Cell {
    std::atomic<std::int64_t> requests{0};
    std::atomic<std::int64_t> uncached_tokens{0};
    std::atomic<std::int64_t> unstarted{0};
    std::atomic<std::int64_t> context_tokens{0};
    std::atomic<std::uint64_t> sent_requests{0};
    std::atomic<std::uint64_t> sent_tokens{0};
  };
  // After it is in flight: see OwnLoad.
  void note_sent(std::uint32_t slot, const InFlight& part) {
    Cell& cell = cells_[slot];
    cell.sent_requests.fetch_add(1, std::memory_order_release);
    cell.sent_tokens.fetch_add(static_cast<std::uint64_t>(part.uncached_tokens),
                               std::memory_order_release);
  }
  // `times` is 1 or -1.
  void add(std::uint32_t slot, const InFlight& part, std::int64_t times) {
    Cell& cell = cells_[slot];
    add(cell.requests, times * part.requests);
    add(cell.uncached_tokens, times * part.uncached_tokens);
    add(cell.unstarted, times * part.unstarted);
    add(cell.context_tokens, times * part.context_tokens);
  }
  static void add(std::atomic<std::int64_t>& sum, std::int64_t value) {
    if (value != 0) sum.fetch_add(value, std::memory_order_relaxed);
  }
  std::unique_ptr<Cell[]> cells_;
};

}  // namespace fairlead::fleet
