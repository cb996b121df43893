// SPDX-License-Identifier: Apache-2.0
// ToldRows: whose cache each row of the KV index is, so that a lookup by row becomes an answer by
// endpoint: the most that any of an endpoint's caches holds from the prompt's first block on.
//
// A row is a rank's device memory, its host memory, where a block is worth less, or what was sent
// to the endpoint a moment ago and is not told yet. Rows change hands when caches are cleared: an
// answer counts a row only if it had the same owner before and after the lookup.
// Threads: one writer; told() beside it from any thread, without waiting.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/prefix/kv_index.h"
#include "core/prefix/prefix_knowledge.h"

namespace fairlead::prefix {

class ToldRows final : public ToldKnowledge {
 public:
  enum class Kind : std::uint8_t { kDevice, kHost, kExpected };

  // `host_weight`, in [0, 1], is what a block in host memory counts of one on the device.
  // `endpoints_max` bounds the slots of endpoints. The index must outlive this.
  ToldRows(const KvIndex& index, std::uint32_t endpoints_max, double host_weight);

  // A free row becomes a cache of this endpoint.
  void assign(std::size_t row, std::uint32_t endpoint, Kind kind);
  // Before whatever is in the row is changed for another owner.
  void release(std::size_t row);
  // Whether the endpoint's answers count. Rows of one whose trust is absent are ignored.
  void set_trust(std::uint32_t endpoint, Trust trust);
  Trust trust(std::uint32_t endpoint) const;

  void told(std::span<const std::uint64_t> keys, std::span<ToldBlocks> out,
            ToldScratch& scratch) const override;
  // Lookups so far that ended early because the index's writer left them no quiet moment, and so
  // may have told less than is held. From any thread.
  std::uint64_t lookups_cut() const { return lookups_cut_.load(std::memory_order_relaxed); }

 private:
  using Owner = std::atomic<std::uint64_t>;

  const KvIndex& index_;
  double host_weight_;
  std::uint32_t endpoints_max_;
  std::unique_ptr<Owner[]> owners_;  // By row; 0: nobody. Otherwise incarnation, endpoint, kind.
  std::unique_ptr<std::atomic<Trust>[]> trust_;  // By endpoint.
  std::atomic<std::size_t> rows_used_{0};        // Rows beyond were never assigned.
  std::uint64_t incarnation_ = 0;
  mutable std::atomic<std::uint64_t> lookups_cut_{0};
};

}  // namespace fairlead::prefix
