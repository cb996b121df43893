// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/cache_bound.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace fairlead::load {
namespace {

// Blocks by their numbers in a ring from the least recently used one on; the number after the last
// stands for its ends.
class Cache {
 public:
  Cache(std::uint32_t blocks, std::uint64_t capacity)
      : capacity_(capacity), held_(blocks), links_(blocks + std::size_t{1}), ends_(blocks) {
    links_[ends_] = {ends_, ends_};
  }

  bool holds(std::uint32_t block) const { return held_[block]; }

  // It is there, and the most recently used one, from here on.
  void touch(std::uint32_t block) {
    if (held_[block]) {
      unlink(block);
    } else {
      held_[block] = true;
      ++size_;
    }
    const std::uint32_t last = links_[ends_].before;
    links_[block] = {last, ends_};
    links_[last].after = links_[ends_].before = block;
    if (size_ > capacity_) give_up_first();
  }

 private:
  struct Links {
    std::uint32_t before;
    std::uint32_t after;
  };

  void unlink(std::uint32_t block) {
    const Links links = links_[block];
    links_[links.before].after = links.after;
    links_[links.after].before = links.before;
  }

  void give_up_first() {
    const std::uint32_t first = links_[ends_].after;
    unlink(first);
    held_[first] = false;
    --size_;
  }

  std::uint64_t capacity_;
  std::uint64_t size_ = 0;
  std::vector<bool> held_;
  std::vector<Links> links_;
  std::uint32_t ends_;
};

constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();

// The last token of a prompt is always computed.
std::uint64_t cached_tokens(const PlannedRequest& request, std::uint64_t blocks,
                            std::uint32_t block_tokens) {
  const std::uint64_t most = request.prompt_tokens > 0 ? request.prompt_tokens - 1 : 0;
  return std::min<std::uint64_t>(blocks * block_tokens, most / block_tokens * block_tokens);
}

double share(std::uint64_t cached, std::uint64_t prompts) {
  return prompts == 0 ? 0 : static_cast<double>(cached) / static_cast<double>(prompts);
}

// The cache of a clairvoyant: blocks by the request that needs them next.
class Clairvoyant {
 public:
  Clairvoyant(std::uint32_t blocks, std::uint64_t capacity)
      : capacity_(capacity), next_(blocks, kNever) {}

  bool holds(std::uint32_t block) const { return next_[block] != kNever; }

  // `depth` of it in its prompt: of blocks that are needed by the same request tails go first.
  void keep(std::uint32_t block, std::uint32_t next, std::size_t depth) {
    size_ -= holds(block) ? 1 : 0;
    next_[block] = next;
    if (next == kNever) return;
    ++size_;
    order_.emplace(next, depth, block);
    while (size_ > capacity_) give_up_last();
  }

 private:
  void give_up_last() {
    const auto [next, depth, block] = order_.top();
    order_.pop();
    if (next_[block] != next) return;  // It was used since, and stands elsewhere in the order.
    next_[block] = kNever;
    --size_;
  }

  std::uint64_t capacity_;
  std::uint64_t size_ = 0;
  std::vector<std::uint32_t> next_;  // kNever: not held.
  std::priority_queue<std::tuple<std::uint32_t, std::size_t, std::uint32_t>> order_;
};

// For every block of every request, in order, the request that needs it next.
std::vector<std::uint32_t> next_uses(const Workload& workload, const NumberedBlocks& blocks) {
  constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();
  std::vector<std::uint32_t> next;
  std::vector<std::size_t> last(blocks.count(), kNowhere);  // Where in `next`.
  for (std::size_t request = 0; request < workload.requests.size(); ++request) {
    for (const std::uint32_t block : blocks.of(request)) {
      const std::size_t before = std::exchange(last[block], next.size());
      if (before != kNowhere) next[before] = static_cast<std::uint32_t>(request);
      next.push_back(kNever);
    }
  }
  return next;
}

}  // namespace

NumberedBlocks::NumberedBlocks(const Workload& workload, const KeysOf& keys_of) {
  std::unordered_map<std::uint64_t, std::uint32_t> numbers;
  for (std::size_t request = 0; request < workload.requests.size(); ++request) {
    first_.push_back(numbers_.size());
    for (const std::uint64_t key : keys_of(request)) {
      numbers_.push_back(
          numbers.try_emplace(key, static_cast<std::uint32_t>(numbers.size())).first->second);
    }
  }
  first_.push_back(numbers_.size());
  count_ = static_cast<std::uint32_t>(numbers.size());
}

double pooled_hit_rate(const Workload& workload, const NumberedBlocks& blocks,
                       std::uint32_t block_tokens, std::uint64_t capacity_tokens) {
  Cache cache(blocks.count(), capacity_tokens / block_tokens);
  std::uint64_t cached = 0;
  std::uint64_t prompts = 0;
  for (std::size_t at = 0; at < workload.requests.size(); ++at) {
    const PlannedRequest& request = workload.requests[at];
    const std::span<const std::uint32_t> needed = blocks.of(at);
    prompts += request.prompt_tokens;
    const auto missing =
        std::ranges::find_if(needed, [&](std::uint32_t block) { return !cache.holds(block); });
    const auto leading = static_cast<std::uint64_t>(missing - needed.begin());
    // What is found is kept while the rest takes its room. Tails go first.
    for (auto block = missing; block != needed.begin();) cache.touch(*--block);
    for (auto block = needed.end(); block != missing;) cache.touch(*--block);
    cached += cached_tokens(request, leading, block_tokens);
  }
  return share(cached, prompts);
}

double pooled_hit_rate(const Workload& workload, std::uint32_t block_tokens,
                       std::uint64_t capacity_tokens) {
  std::vector<std::uint64_t> keys;
  const KeysOf keys_of = [&](std::size_t request) {
    keys.clear();
    append_block_hashes(workload.prompt_and_answer(workload.requests[request]), block_tokens, keys);
    return std::span<const std::uint64_t>(keys);
  };
  return pooled_hit_rate(workload, NumberedBlocks(workload, keys_of), block_tokens,
                         capacity_tokens);
}

double belady_hit_rate(const Workload& workload, const NumberedBlocks& blocks,
                       std::uint32_t block_tokens, std::uint64_t capacity_tokens) {
  const std::vector<std::uint32_t> next = next_uses(workload, blocks);
  Clairvoyant cache(blocks.count(), capacity_tokens / block_tokens);
  std::uint64_t cached = 0;
  std::uint64_t prompts = 0;
  std::size_t first = 0;  // Of the request's blocks, in `next`.
  for (std::size_t at = 0; at < workload.requests.size(); ++at) {
    const PlannedRequest& request = workload.requests[at];
    const std::span<const std::uint32_t> needed = blocks.of(at);
    prompts += request.prompt_tokens;
    const auto missing =
        std::ranges::find_if(needed, [&](std::uint32_t block) { return !cache.holds(block); });
    cached +=
        cached_tokens(request, static_cast<std::uint64_t>(missing - needed.begin()), block_tokens);
    for (std::size_t i = 0; i < needed.size(); ++i) cache.keep(needed[i], next[first + i], i);
    first += needed.size();
  }
  return share(cached, prompts);
}

}  // namespace fairlead::load
