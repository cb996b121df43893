// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/testing/naive_history.h"

#include <ranges>
#include <unordered_set>

namespace fairlead::prefix {

NaiveHistory::NaiveHistory(std::size_t block_bytes, std::uint64_t default_budget_bytes)
    : block_bytes_(block_bytes), default_budget_(default_budget_bytes / block_bytes) {}

void NaiveHistory::match(std::span<const std::uint64_t> keys, std::span<MatchedBlocks> out) const {
  for (const auto& [slot, state] : endpoints_) {
    if (slot >= out.size()) continue;
    MatchedBlocks depth = 0;
    while (depth < keys.size() && state.where.contains(keys[depth])) ++depth;
    out[slot] = depth;
  }
}

void NaiveHistory::record(std::uint32_t slot, std::span<const std::uint64_t> keys) {
  Endpoint& state = endpoint(slot);
  for (const std::uint64_t key : std::views::reverse(keys)) {
    if (const auto found = state.where.find(key); found != state.where.end()) {
      state.by_use.splice(state.by_use.begin(), state.by_use, found->second);
    } else {
      state.by_use.push_front(key);
      state.where.emplace(key, state.by_use.begin());
    }
  }
  evict(state);
}

void NaiveHistory::forget(std::uint32_t slot) {
  Endpoint& state = endpoint(slot);
  state.by_use.clear();
  state.where.clear();
}

void NaiveHistory::set_budget(std::uint32_t slot, std::uint64_t bytes) {
  Endpoint& state = endpoint(slot);
  state.budget = bytes / block_bytes_;
  evict(state);
}

std::uint64_t NaiveHistory::held_blocks(std::uint32_t slot) const {
  const auto found = endpoints_.find(slot);
  return found == endpoints_.end() ? 0 : found->second.where.size();
}

std::uint64_t NaiveHistory::distinct_blocks() const {
  std::unordered_set<std::uint64_t> distinct;
  for (const auto& [slot, state] : endpoints_) {
    distinct.insert(state.by_use.begin(), state.by_use.end());
  }
  return distinct.size();
}

NaiveHistory::Endpoint& NaiveHistory::endpoint(std::uint32_t slot) {
  const auto [found, added] = endpoints_.try_emplace(slot);
  if (added) found->second.budget = default_budget_;
  return found->second;
}

void NaiveHistory::evict(Endpoint& state) {
  while (state.by_use.size() > state.budget) {
    state.where.erase(state.by_use.back());
    state.by_use.pop_back();
  }
}

}  // namespace fairlead::prefix
