// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/told_rows.h"

#include <algorithm>

#include "base/assert.h"

namespace fairlead::prefix {
namespace {

constexpr unsigned kKindBits = 8;
constexpr unsigned kEndpointBits = 24;
constexpr unsigned kIncarnationShift = kKindBits + kEndpointBits;

std::uint32_t endpoint_of(std::uint64_t owner) {
  return static_cast<std::uint32_t>(owner >> kKindBits) & ((1U << kEndpointBits) - 1);
}

ToldRows::Kind kind_of(std::uint64_t owner) {
  return static_cast<ToldRows::Kind>(owner & ((1U << kKindBits) - 1));
}

}  // namespace

ToldRows::ToldRows(const KvIndex& index, std::uint32_t endpoints_max, double host_weight)
    : index_(index),
      host_weight_(host_weight),
      endpoints_max_(endpoints_max),
      owners_(std::make_unique<Owner[]>(index.rows())),
      trust_(std::make_unique<std::atomic<Trust>[]>(endpoints_max)) {
  FAIRLEAD_ASSERT(endpoints_max < 1U << kEndpointBits);
}

void ToldRows::assign(std::size_t row, std::uint32_t endpoint, Kind kind) {
  FAIRLEAD_ASSERT(row < index_.rows() && endpoint < endpoints_max_);
  FAIRLEAD_ASSERT(owners_[row].load(std::memory_order_relaxed) == 0);
  // The incarnation begins at 1, so that no owner is 0.
  const std::uint64_t owner = ++incarnation_ << kIncarnationShift |
                              std::uint64_t{endpoint} << kKindBits |
                              static_cast<std::uint64_t>(kind);
  owners_[row].store(owner, std::memory_order_release);
  if (row >= rows_used_.load(std::memory_order_relaxed)) {
    rows_used_.store(row + 1, std::memory_order_release);
  }
}

// With the fence, whoever sees what is written to the row from here on, sees that it is nobody's.
void ToldRows::release(std::size_t row) {
  owners_[row].store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
}

void ToldRows::set_trust(std::uint32_t endpoint, Trust trust) {
  FAIRLEAD_ASSERT(endpoint < endpoints_max_);
  trust_[endpoint].store(trust, std::memory_order_relaxed);
}

Trust ToldRows::trust(std::uint32_t endpoint) const {
  return trust_[endpoint].load(std::memory_order_relaxed);
}

void ToldRows::told(std::span<const std::uint64_t> keys, std::span<ToldBlocks> out,
                    ToldScratch& scratch) const {
  const std::size_t endpoints = std::min<std::size_t>(out.size(), endpoints_max_);
  for (std::size_t slot = 0; slot < endpoints; ++slot) {
    out[slot] = {0, trust_[slot].load(std::memory_order_relaxed)};
  }
  const std::size_t rows = rows_used_.load(std::memory_order_acquire);
  if (rows == 0) return;
  scratch.owners.resize(rows);
  scratch.depths.resize(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    scratch.owners[row] = owners_[row].load(std::memory_order_acquire);
  }
  const KvLookup lookup = index_.match(keys, scratch.depths);
  if (lookup.cut > 0) lookups_cut_.fetch_add(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_acquire);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::uint64_t owner = scratch.owners[row];
    if (owner == 0 || scratch.depths[row] == 0) continue;
    if (owners_[row].load(std::memory_order_relaxed) != owner) continue;
    const std::uint32_t slot = endpoint_of(owner);
    if (slot >= endpoints || out[slot].trust == Trust::kAbsent) continue;
    const double worth = kind_of(owner) == Kind::kHost ? host_weight_ : 1;
    const auto blocks = static_cast<MatchedBlocks>(worth * scratch.depths[row]);
    out[slot].blocks = std::max(out[slot].blocks, blocks);
  }
}

}  // namespace fairlead::prefix
