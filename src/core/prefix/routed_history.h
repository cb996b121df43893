// SPDX-License-Identifier: Apache-2.0
// RoutedHistory: which prompts were sent to which endpoint, and so which prefixes its cache
// probably holds. One trie over chained keys serves all endpoints; unbranched stretches are one
// run, so that a lookup costs the runs on its path and not the blocks.
//
// Each endpoint holds at most its budget of prompt bytes, forgotten block by block in the order of
// least recent use. A record touches its blocks from the tail to the head, therefore an endpoint
// always forgets leaves first, and what it holds is closed under prefixes. The results are exactly
// those of a plain per-block LRU (testing/naive_history.h).
//
// Cost: match() one table look-up and about one comparison for each run on the path, and a write
// for each holder of a run whose successor has fewer holders. record() the same walk once, plus a
// copy of the new keys, plus what it evicts, each block of which was paid for when it came. A split
// visits the run's holders; forget() the runs that the endpoint held.
//
// Memory: every run is held by someone, so runs and keys never exceed the sum of the budgets in
// blocks; the worst case, every block a run of its own, takes about 250 bytes a held block, the
// usual one (long runs) about 10. Freed runs are reused; tables keep their high-water size.
// Slots are 0..kMaxSlots-1; a larger one is a programmer error. Nothing here fails otherwise: keys
// that break the chaining rule give useless matches, never an inconsistent trie.
// Threads: thread-compatible; match() is const and allocates nothing.
#pragma once

#include <memory>
#include <vector>

#include "core/prefix/holder_list.h"
#include "core/prefix/prefix_knowledge.h"
#include "core/prefix/recency.h"
#include "core/prefix/run_map.h"

namespace fairlead::codec {
struct RestartHistory;
}

namespace fairlead::prefix {

inline constexpr std::uint32_t kMaxSlots = 4096;

class RoutedHistory final : public PrefixKnowledge {
 public:
  struct Figures {
    std::uint64_t runs = 0;            // Now in the trie.
    std::uint64_t keys = 0;            // Distinct blocks now in the trie.
    std::uint64_t held_blocks = 0;     // Blocks now held, summed over endpoints.
    std::uint64_t evicted_blocks = 0;  // Ever pushed out by a budget; forget() does not count.
    std::uint64_t partial_trims = 0;   // Evictions that left an endpoint the head of a run.
    std::uint64_t splits = 0;          // Runs cut in two, ever.
  };

  // `default_budget_bytes` holds for every endpoint until set_budget() says otherwise.
  RoutedHistory(std::size_t block_bytes, std::uint64_t default_budget_bytes);

  void match(std::span<const std::uint64_t> keys, std::span<MatchedBlocks> out) const override;
  std::size_t block_bytes() const override { return block_bytes_; }

  // A prompt with these keys was sent to the endpoint.
  void record(std::uint32_t slot, std::span<const std::uint64_t> keys);
  // The endpoint lost its cache or its slot goes to another. Its budget stays as it was set.
  void forget(std::uint32_t slot);
  // Rounded down to whole blocks; a smaller budget evicts at once, 0 turns the endpoint off.
  void set_budget(std::uint32_t slot, std::uint64_t bytes);

  // Replaces `out` by what the endpoint holds, at most `blocks_max` of it, the oldest left out.
  void save(std::uint32_t slot, std::size_t blocks_max, codec::RestartHistory& out) const;
  // Records what was saved in the order of its use, so that it is forgotten in that order too.
  // Parents must come before their children, and lengths fit the keys.
  void restore(std::uint32_t slot, const codec::RestartHistory& saved);

  std::uint64_t held_blocks(std::uint32_t slot) const;
  const Figures& figures() const { return figures_; }
  // Heap bytes now owned, without the allocator's own overhead.
  std::size_t memory_bytes() const;

 private:
  struct Run {
    std::unique_ptr<std::uint64_t[]> keys;
    std::uint32_t length = 0;  // Keys in use: the longest stretch that any holder has.
    std::uint32_t capacity = 0;
    std::uint32_t parent = 0;  // While free: the next free run.
    std::uint32_t children = 0;
    std::uint32_t full_holders = 0;  // Holders of the whole run; never 0 while the run lives.
    HolderList holders;
  };
  struct Endpoint {
    std::uint64_t held = 0;
    std::uint32_t budget = 0;
  };

  Endpoint& endpoint(std::uint32_t slot);
  static std::uint32_t common_length(const Run& run, std::span<const std::uint64_t> keys);
  static void write_depths(const Run& run, std::uint32_t at, std::uint32_t common,
                           std::span<MatchedBlocks> out);
  std::uint32_t new_run(std::uint32_t parent, std::span<const std::uint64_t> keys);
  void free_run(std::uint32_t id);
  void resize_keys(Run& run, std::uint32_t capacity);
  void shrink_keys(Run& run);
  std::uint32_t split(std::uint32_t id, std::uint32_t at);
  std::uint32_t hold(std::uint32_t id, std::uint32_t slot, std::uint32_t length,
                     std::uint32_t newer);
  void append(std::uint32_t parent, std::uint32_t slot, std::span<const std::uint64_t> keys,
              std::uint32_t newer);
  void drop_tail(std::uint32_t slot, std::uint32_t link, std::uint32_t blocks);
  void fit_to_holders(Run& run);
  void evict(std::uint32_t slot);

  std::size_t block_bytes_;
  std::uint32_t default_budget_;  // Blocks.
  std::vector<Run> runs_;
  std::uint32_t free_ = kNoRun;
  RunMap map_;
  Recency recency_;
  std::vector<Endpoint> endpoints_;
  std::size_t key_capacity_ = 0;
  std::size_t spill_bytes_ = 0;
  Figures figures_;
};

}  // namespace fairlead::prefix
