// SPDX-License-Identifier: Apache-2.0
// The hit rate of one pooled cache: as if all engines were one, with their memory together, so that
// no prompt is computed twice for want of a better placement.
//   pooled  least recently used blocks go first, as engines have it. No routing of whole requests
//           over separate caches with the same rule does better by more than luck.
//   Belady  the block that is needed again last goes first, and what is never needed again takes no
//           room. A block is needed whenever one that follows it is, so this is the best that any
//           rule can do.
// Answers that no prompt repeats take no room in either, which makes both bounds. Both are sums of
// cached tokens over sums of prompt tokens, requests in the order in which they are planned.
// Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "lab/load/model/workload.h"

namespace fairlead::load {

// Chained keys of the whole blocks of a planned request's prompt, and of its answer as far as a
// later prompt repeats it; valid until the next call.
using KeysOf = std::function<std::span<const std::uint64_t>(std::size_t request)>;

// The blocks of all requests by numbers from 0 on, equal ones by the same number, so that what is
// kept of each stands in an array.
class NumberedBlocks {
 public:
  NumberedBlocks(const Workload& workload, const KeysOf& keys_of);

  std::span<const std::uint32_t> of(std::size_t request) const {
    return std::span(numbers_).subspan(first_[request], first_[request + 1] - first_[request]);
  }
  std::uint32_t count() const { return count_; }  // Of different ones.

 private:
  std::vector<std::uint32_t> numbers_;
  std::vector<std::size_t> first_;  // Of each request in numbers_, and the end.
  std::uint32_t count_ = 0;
};

double pooled_hit_rate(const Workload& workload, const NumberedBlocks& blocks,
                       std::uint32_t block_tokens, std::uint64_t capacity_tokens);
// As above, with blocks made for it.
double pooled_hit_rate(const Workload& workload, std::uint32_t block_tokens,
                       std::uint64_t capacity_tokens);

double belady_hit_rate(const Workload& workload, const NumberedBlocks& blocks,
                       std::uint32_t block_tokens, std::uint64_t capacity_tokens);

}  // namespace fairlead::load
