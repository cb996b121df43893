// SPDX-License-Identifier: Apache-2.0
// NaiveHistory: the meaning of RoutedHistory in the plainest form, for tests to compare with. Each
// endpoint is an ordinary LRU list of single blocks; a record touches its blocks from the tail to
// the head, then the least recently used go until the budget holds. Thread-compatible.
#pragma once

#include <list>
#include <map>
#include <unordered_map>

#include "core/prefix/prefix_knowledge.h"

namespace fairlead::prefix {

class NaiveHistory final : public PrefixKnowledge {
 public:
  NaiveHistory(std::size_t block_bytes, std::uint64_t default_budget_bytes);

  void match(std::span<const std::uint64_t> keys, std::span<MatchedBlocks> out) const override;
  std::size_t block_bytes() const override { return block_bytes_; }

  void record(std::uint32_t slot, std::span<const std::uint64_t> keys);
  void forget(std::uint32_t slot);
  void set_budget(std::uint32_t slot, std::uint64_t bytes);

  std::uint64_t held_blocks(std::uint32_t slot) const;
  // Blocks held by at least one endpoint.
  std::uint64_t distinct_blocks() const;

 private:
  struct Endpoint {
    std::uint64_t budget = 0;         // Blocks.
    std::list<std::uint64_t> by_use;  // The most recently used first.
    std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> where;
  };

  Endpoint& endpoint(std::uint32_t slot);
  static void evict(Endpoint& state);

  std::size_t block_bytes_;
  std::uint64_t default_budget_;
  std::map<std::uint32_t, Endpoint> endpoints_;
};

}  // namespace fairlead::prefix
