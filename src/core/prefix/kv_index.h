// SPDX-License-Identifier: Apache-2.0
// KvIndex: how many leading blocks of a prompt each endpoint holds, for all endpoints at once, from
// what engines report. The reading side of lanes (kv_lane.h): lane k fills its own rows, so no row
// has two writers.
//
// match() may run on any thread beside the lanes' writers. It writes no shared memory, takes no
// lock, allocates nothing and never waits: a run that a writer keeps changing is tried again a
// bounded number of times, then the lookup ends there and reports less (counted in the answer).
// A block is credited only if its endpoint held it at some instant during the call, and a lookup
// beside an idle writer equals the naive twin (testing/kv_twin.h).
// Cost: one table probe and one run header for each run on the path, plus one pass over `depths`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fairlead::prefix {

class KvLane;

// Leading blocks held; what is deeper reads as 65,535.
using KvDepth = std::uint16_t;

struct KvLookup {
  std::uint32_t runs = 0;     // Runs visited.
  std::uint32_t retries = 0;  // Reads begun again because a writer was at it.
  std::uint32_t cut = 0;      // Lanes whose walk ended early for lack of a quiet moment.
};

class KvIndex {
 public:
  // The lanes must outlive the index. Rows: lane k's slot s is row first_row(k) + s.
  explicit KvIndex(std::span<const KvLane* const> lanes);

  std::size_t rows() const { return rows_; }
  std::size_t first_row(std::size_t lane) const { return first_rows_[lane]; }

  // `keys` are chained token keys (token_keys.h) from a namespace's root. Replaces every row of
  // `depths`, which has rows() of them or fewer (the rest is left out).
  KvLookup match(std::span<const std::uint64_t> keys, std::span<KvDepth> depths) const;

 private:
  std::vector<const KvLane*> lanes_;
  std::vector<std::size_t> first_rows_;
  std::size_t rows_ = 0;
};

}  // namespace fairlead::prefix
