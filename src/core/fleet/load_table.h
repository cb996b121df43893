// SPDX-License-Identifier: Apache-2.0
// LoadTable: the newest load figures scraped from each engine, one row of relaxed atomics a slot.
//
// Rows are written by control and copied into the candidate table by workers; a row is read field
// by field, so two fields of one row may stem from neighbouring scrapes, which no policy minds.
// Units: requests, fraction of KV blocks in use, nanoseconds. Threads: one writer, any readers.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/assert.h"
#include "base/time.h"
#include "core/model/endpoint.h"

namespace fairlead::fleet {

struct LoadRow {
  float waiting = 0;
  float running = 0;
  float kv_usage = 0;  // In [0, 1].
  Time scraped_at{};   // Zero: never.
  bool stale = false;  // Too old to be believed: see Fleet::kLoadStale.
};

class LoadTable {
 public:
  LoadTable() : rows_(std::make_unique<Row[]>(model::kMaxEndpoints)) {}

  void write(std::uint32_t slot, const LoadRow& load) {
    Row& row = at(slot);
    row.waiting.store(load.waiting, std::memory_order_relaxed);
    row.running.store(load.running, std::memory_order_relaxed);
    row.kv_usage.store(load.kv_usage, std::memory_order_relaxed);
    row.scraped_at.store(load.scraped_at.time_since_epoch().count(), std::memory_order_relaxed);
    row.stale.store(load.stale, std::memory_order_relaxed);
  }
  // Until the next write.
  void mark_stale(std::uint32_t slot) { at(slot).stale.store(true, std::memory_order_relaxed); }

  LoadRow read(std::uint32_t slot) const {
    const Row& row = at(slot);
    return {row.waiting.load(std::memory_order_relaxed),
            row.running.load(std::memory_order_relaxed),
            row.kv_usage.load(std::memory_order_relaxed),
            Time(Duration(row.scraped_at.load(std::memory_order_relaxed))),
            row.stale.load(std::memory_order_relaxed)};
  }

 private:
  struct Row {
    std::atomic<float> waiting{0};
    std::atomic<float> running{0};
    std::atomic<float> kv_usage{0};
    std::atomic<std::int64_t> scraped_at{0};
    std::atomic<bool> stale{false};
  };
  Row& at(std::uint32_t slot) const {
    FAIRLEAD_DEBUG_ASSERT(slot < model::kMaxEndpoints);
    return rows_[slot];
  }
  std::unique_ptr<Row[]> rows_;
};

}  // namespace fairlead::fleet
