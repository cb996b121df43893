// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/cache_bound.h"

#include <algorithm>
#include <limits>
#include <list>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace fairlead::load {
namespace {

class Cache {
 public:
  explicit Cache(std::uint64_t capacity) : capacity_(capacity) {}

  bool holds(std::uint64_t key) const { return places_.contains(key); }

  // It is there, and the most recently used one, from here on.
  void touch(std::uint64_t key) {
    const auto found = places_.find(key);
    if (found != places_.end()) return order_.splice(order_.end(), order_, found->second);
    places_.emplace(key, order_.insert(order_.end(), key));
    if (order_.size() > capacity_) {
      places_.erase(order_.front());
      order_.pop_front();
    }
  }

 private:
  std::uint64_t capacity_;
  std::list<std::uint64_t> order_;  // Least recently used first.
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> places_;
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
  explicit Clairvoyant(std::uint64_t capacity) : capacity_(capacity) {}

  bool holds(std::uint64_t key) const { return next_.contains(key); }

  // `depth` of it in its prompt: of blocks that are needed by the same request tails go first.
  void keep(std::uint64_t key, std::uint32_t next, std::size_t depth) {
    if (next == kNever) {
      next_.erase(key);
      return;
    }
    next_[key] = next;
    order_.emplace(next, depth, key);
    while (next_.size() > capacity_) give_up_last();
  }

 private:
  void give_up_last() {
    const auto [next, depth, key] = order_.top();
    order_.pop();
    const auto found = next_.find(key);
    // It was used since, and stands elsewhere in the order.
    if (found != next_.end() && found->second == next) next_.erase(found);
  }

  std::uint64_t capacity_;
  std::unordered_map<std::uint64_t, std::uint32_t> next_;
  std::priority_queue<std::tuple<std::uint32_t, std::size_t, std::uint64_t>> order_;
};

// For every block of every request, in order, the request that needs it next.
std::vector<std::uint32_t> next_uses(const Workload& workload, const KeysOf& keys_of) {
  std::vector<std::uint32_t> next;
  std::unordered_map<std::uint64_t, std::size_t> last;  // Where in `next`.
  for (std::size_t request = 0; request < workload.requests.size(); ++request) {
    for (const std::uint64_t key : keys_of(request)) {
      const auto [found, fresh] = last.try_emplace(key, next.size());
      if (!fresh)
        next[std::exchange(found->second, next.size())] = static_cast<std::uint32_t>(request);
      next.push_back(kNever);
    }
  }
  return next;
}

}  // namespace

double pooled_hit_rate(const Workload& workload, const KeysOf& keys_of, std::uint32_t block_tokens,
                       std::uint64_t capacity_tokens) {
  Cache cache(capacity_tokens / block_tokens);
  std::uint64_t cached = 0;
  std::uint64_t prompts = 0;
  for (std::size_t at = 0; at < workload.requests.size(); ++at) {
    const PlannedRequest& request = workload.requests[at];
    const std::span<const std::uint64_t> keys = keys_of(at);
    prompts += request.prompt_tokens;
    const auto missing =
        std::ranges::find_if(keys, [&](std::uint64_t key) { return !cache.holds(key); });
    const auto leading = static_cast<std::uint64_t>(missing - keys.begin());
    // What is found is kept while the rest takes its room. Tails go first.
    for (auto key = missing; key != keys.begin();) cache.touch(*--key);
    for (auto key = keys.end(); key != missing;) cache.touch(*--key);
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
  return pooled_hit_rate(workload, keys_of, block_tokens, capacity_tokens);
}

double belady_hit_rate(const Workload& workload, const KeysOf& keys_of, std::uint32_t block_tokens,
                       std::uint64_t capacity_tokens) {
  const std::vector<std::uint32_t> next = next_uses(workload, keys_of);
  Clairvoyant cache(capacity_tokens / block_tokens);
  std::uint64_t cached = 0;
  std::uint64_t prompts = 0;
  std::size_t first = 0;  // Of the request's blocks, in `next`.
  for (std::size_t at = 0; at < workload.requests.size(); ++at) {
    const PlannedRequest& request = workload.requests[at];
    const std::span<const std::uint64_t> keys = keys_of(at);
    prompts += request.prompt_tokens;
    const auto missing =
        std::ranges::find_if(keys, [&](std::uint64_t key) { return !cache.holds(key); });
    cached +=
        cached_tokens(request, static_cast<std::uint64_t>(missing - keys.begin()), block_tokens);
    for (std::size_t i = 0; i < keys.size(); ++i) cache.keep(keys[i], next[first + i], i);
    first += keys.size();
  }
  return share(cached, prompts);
}

}  // namespace fairlead::load
