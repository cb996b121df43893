// SPDX-License-Identifier: Apache-2.0
// LoadTable: the newest load figures scraped from each engine, one row of relaxed atomics a slot.
//
// Rows are written by control and copied into the candidate table by workers; a row is read field
// by field, so two fields of one row may stem from neighbouring scrapes, which no policy minds.
// Adapters are counted, and the first kMaxAdapters of either list are known by a 32-bit hash: an
// equal hash of another name, or a list read between two scrapes, costs one request a worse place.
// Units: requests, fraction of KV blocks in use, tokens, nanoseconds. Threads: one writer, any
// readers.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/assert.h"
#include "base/time.h"
#include "core/codec/vllm_metrics.h"
#include "core/fleet/others_load.h"
#include "core/model/endpoint.h"

namespace fairlead::fleet {

struct LoadRow {
  float waiting = 0;
  float running = 0;
  float kv_usage = 0;   // In [0, 1].
  Time scraped_at{};    // Zero: never.
  bool stale = false;   // Too old to be believed: see Fleet::kLoadStale.
  float kv_tokens = 0;  // What all its KV blocks hold; 0: it never said.
  OthersLoad others{};  // Worked out from scrapes: see OthersMeter.
};

inline LoadRow load_row(const codec::EngineMetrics& metrics, float kv_tokens,
                        const OthersLoad& others, Time now) {
  return {static_cast<float>(metrics.waiting.value_or(0)),
          static_cast<float>(metrics.running.value_or(0)),
          static_cast<float>(metrics.kv_usage.value_or(0)),
          now,
          false,
          kv_tokens,
          others};
}

inline constexpr std::size_t kMaxAdapters = 16;  // Of one list of one endpoint.

// FNV-1a.
constexpr std::uint32_t adapter_hash(std::string_view name) {
  std::uint32_t hash = 2166136261U;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

// The LoRA adapters of one engine. Of longer lists the first hashes count.
struct AdapterRow {
  std::array<std::uint32_t, kMaxAdapters> active{};   // In the engine's batch.
  std::array<std::uint32_t, kMaxAdapters> waiting{};  // In its queue.
  std::uint16_t active_count = 0;
  std::uint16_t waiting_count = 0;
  std::uint32_t max = 0;  // As many fit into one batch; 0: it has none.
};

// What the adapters of one engine mean to a request.
struct AdapterFit {
  enum class Where : std::uint8_t { kNowhere, kWaiting, kActive };
  Where where = Where::kNowhere;
  float room = 0;  // Batch places that no active or waiting adapter takes; may be negative.
};

class LoadTable {
 public:
  LoadTable()
      : rows_(std::make_unique<Row[]>(model::kMaxEndpoints)),
        adapters_(std::make_unique<Adapters[]>(model::kMaxEndpoints)) {}

  void write(std::uint32_t slot, const LoadRow& load, const AdapterRow& adapters = {}) {
    Row& row = at(slot);
    row.waiting.store(load.waiting, std::memory_order_relaxed);
    row.running.store(load.running, std::memory_order_relaxed);
    row.kv_usage.store(load.kv_usage, std::memory_order_relaxed);
    row.kv_tokens.store(load.kv_tokens, std::memory_order_relaxed);
    row.others_tokens.store(load.others.tokens, std::memory_order_relaxed);
    row.others_unstarted.store(load.others.unstarted, std::memory_order_relaxed);
    row.others_decoding.store(load.others.decoding, std::memory_order_relaxed);
    row.scraped_at.store(load.scraped_at.time_since_epoch().count(), std::memory_order_relaxed);
    row.stale.store(load.stale, std::memory_order_relaxed);
    Adapters& cell = adapters_[slot];
    store(adapters.active, adapters.active_count, cell.active);
    store(adapters.waiting, adapters.waiting_count, cell.waiting);
    cell.counts.store(std::uint64_t{adapters.max} << 32 |
                          std::uint64_t{adapters.waiting_count} << 16 | adapters.active_count,
                      std::memory_order_relaxed);
  }
  // Until the next write.
  void mark_stale(std::uint32_t slot) { at(slot).stale.store(true, std::memory_order_relaxed); }

  LoadRow read(std::uint32_t slot) const {
    const Row& row = at(slot);
    return {row.waiting.load(std::memory_order_relaxed),
            row.running.load(std::memory_order_relaxed),
            row.kv_usage.load(std::memory_order_relaxed),
            Time(Duration(row.scraped_at.load(std::memory_order_relaxed))),
            row.stale.load(std::memory_order_relaxed),
            row.kv_tokens.load(std::memory_order_relaxed),
            {row.others_tokens.load(std::memory_order_relaxed),
             row.others_unstarted.load(std::memory_order_relaxed),
             row.others_decoding.load(std::memory_order_relaxed)}};
  }

  // `hash` is that of the adapter asked for. Costs one read where the engine has no adapters.
  AdapterFit fit(std::uint32_t slot, std::uint32_t hash) const {
    const Adapters& cell = adapters_[slot];
    const std::uint64_t counts = cell.counts.load(std::memory_order_relaxed);
    if (counts == 0) return {};
    const std::size_t active = counts & 0xFFFF;
    const std::size_t waiting = counts >> 16 & 0xFFFF;
    AdapterFit found;
    found.room = static_cast<float>(counts >> 32) - static_cast<float>(active + waiting);
    if (holds(cell.active, active, hash)) {
      found.where = AdapterFit::Where::kActive;
    } else if (holds(cell.waiting, waiting, hash)) {
      found.where = AdapterFit::Where::kWaiting;
    }
    return found;
  }

 private:
  struct Row {
    std::atomic<float> waiting{0};
    std::atomic<float> running{0};
    std::atomic<float> kv_usage{0};
    std::atomic<float> kv_tokens{0};
    std::atomic<float> others_tokens{0};
    std::atomic<float> others_unstarted{0};
    std::atomic<float> others_decoding{0};
    std::atomic<bool> stale{false};
    std::atomic<std::int64_t> scraped_at{0};
  };
  using Hashes = std::array<std::atomic<std::uint32_t>, kMaxAdapters>;
  // Beside the rows, which every decision reads.
  struct Adapters {
    std::atomic<std::uint64_t> counts{0};  // max << 32 | waiting << 16 | active.
    Hashes active;
    Hashes waiting;
  };
  static void store(const std::array<std::uint32_t, kMaxAdapters>& from, std::size_t count,
                    Hashes& to) {
    for (std::size_t i = 0; i < std::min(count, kMaxAdapters); ++i) {
      to[i].store(from[i], std::memory_order_relaxed);
    }
  }
  static bool holds(const Hashes& list, std::size_t count, std::uint32_t hash) {
    for (std::size_t i = 0; i < std::min(count, kMaxAdapters); ++i) {
      if (list[i].load(std::memory_order_relaxed) == hash) return true;
    }
    return false;
  }
  Row& at(std::uint32_t slot) const {
    FAIRLEAD_DEBUG_ASSERT(slot < model::kMaxEndpoints);
    return rows_[slot];
  }
  std::unique_ptr<Row[]> rows_;
  std::unique_ptr<Adapters[]> adapters_;
};

}  // namespace fairlead::fleet
