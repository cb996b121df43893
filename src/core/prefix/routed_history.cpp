// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/routed_history.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"

namespace fairlead::prefix {
namespace {

// A run grows in place only while it has few holders, because the next prompt that branches off at
// the old end must split it again, and a split visits every holder.
constexpr std::size_t kMaxHoldersToExtend = 8;

std::uint32_t to_blocks(std::uint64_t bytes, std::size_t block_bytes) {
  const std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes / block_bytes, most));
}

}  // namespace

RoutedHistory::RoutedHistory(std::size_t block_bytes, std::uint64_t default_budget_bytes)
    : block_bytes_(block_bytes) {
  FAIRLEAD_ASSERT(block_bytes > 0);
  default_budget_ = to_blocks(default_budget_bytes, block_bytes);
}

void RoutedHistory::match(std::span<const std::uint64_t> keys, std::span<MatchedBlocks> out) const {
  const Run* passed = nullptr;  // Matched whole and not yet written.
  std::uint32_t passed_at = 0;
  std::uint32_t parent = kNoRun;
  std::uint32_t at = 0;
  while (at < keys.size()) {
    const std::uint32_t id = map_.find(keys[at], parent);
    if (id == kNoRun) break;
    const Run& run = runs_[id];
    // Whoever holds a run holds its ancestors too: as many holders means the same ones, and then
    // the deeper run speaks for all. Otherwise it overwrites.
    if (passed != nullptr && passed->holders.size() != run.holders.size()) {
      write_depths(*passed, passed_at, passed->length, out);
    }
    const std::uint32_t common = common_length(run, keys.subspan(at));
    if (common < run.length) {
      write_depths(run, at, common, out);
      return;
    }
    passed = &run;
    passed_at = at;
    at += common;
    parent = id;
  }
  if (passed != nullptr) write_depths(*passed, passed_at, passed->length, out);
}

void RoutedHistory::write_depths(const Run& run, std::uint32_t at, std::uint32_t common,
                                 std::span<MatchedBlocks> out) {
  for (const Holder& holder : run.holders.view()) {
    if (holder.slot >= out.size()) break;
    out[holder.slot] = at + std::min(holder.held, common);
  }
}

// Leading blocks that the run shares with `keys`, whose first key is known to be equal.
std::uint32_t RoutedHistory::common_length(const Run& run, std::span<const std::uint64_t> keys) {
  const auto window = static_cast<std::uint32_t>(std::min<std::size_t>(run.length, keys.size()));
  if (run.keys[window - 1] == keys[window - 1]) return window;
  std::uint32_t low = 1;
  std::uint32_t high = window - 1;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (run.keys[middle] == keys[middle]) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void RoutedHistory::record(std::uint32_t slot, std::span<const std::uint64_t> keys) {
  // The tail of a prompt beyond the budget would be the first to go.
  keys = keys.first(std::min<std::size_t>(keys.size(), endpoint(slot).budget));
  std::uint32_t parent = kNoRun;
  std::uint32_t newer = kNoLink;
  while (!keys.empty()) {
    std::uint32_t id = map_.find(keys.front(), parent);
    if (id == kNoRun) {
      append(parent, slot, keys, newer);
      break;
    }
    const std::uint32_t common = common_length(runs_[id], keys);
    if (common < runs_[id].length) {
      // Split where the prompt branches off, or where it ends inside a stretch that this endpoint
      // holds: from here on the two parts differ in recency.
      const Holder* holder = runs_[id].holders.find(slot);
      const bool branches = common < keys.size();
      if (branches || (holder != nullptr && holder->held > common)) id = split(id, common);
    }
    newer = hold(id, slot, common, newer);
    keys = keys.subspan(common);
    parent = id;
  }
  evict(slot);
}

void RoutedHistory::forget(std::uint32_t slot) {
  if (slot >= endpoints_.size()) return;
  // From the oldest, so that a run's descendants go before it.
  for (std::uint32_t link = recency_.oldest(slot); link != kNoLink; link = recency_.oldest(slot)) {
    drop_tail(slot, link, runs_[recency_.run(link)].holders.find(slot)->held);
  }
}

void RoutedHistory::set_budget(std::uint32_t slot, std::uint64_t bytes) {
  endpoint(slot).budget = to_blocks(bytes, block_bytes_);
  evict(slot);
}

std::uint64_t RoutedHistory::held_blocks(std::uint32_t slot) const {
  return slot < endpoints_.size() ? endpoints_[slot].held : 0;
}

std::size_t RoutedHistory::memory_bytes() const {
  return runs_.capacity() * sizeof(Run) + endpoints_.capacity() * sizeof(Endpoint) +
         key_capacity_ * sizeof(std::uint64_t) + spill_bytes_ + map_.bytes() + recency_.bytes();
}

RoutedHistory::Endpoint& RoutedHistory::endpoint(std::uint32_t slot) {
  FAIRLEAD_ASSERT(slot < kMaxSlots);
  if (slot >= endpoints_.size()) {
    endpoints_.resize(slot + 1, Endpoint{0, default_budget_});
    recency_.add_slots(slot + 1);
  }
  return endpoints_[slot];
}

std::uint32_t RoutedHistory::new_run(std::uint32_t parent, std::span<const std::uint64_t> keys) {
  std::uint32_t id = free_;
  if (id == kNoRun) {
    id = static_cast<std::uint32_t>(runs_.size());
    runs_.emplace_back();
  } else {
    free_ = runs_[id].parent;
  }
  Run& run = runs_[id];
  run.length = static_cast<std::uint32_t>(keys.size());
  resize_keys(run, run.length);
  std::copy(keys.begin(), keys.end(), run.keys.get());
  run.parent = parent;
  ++figures_.runs;
  return id;
}

void RoutedHistory::free_run(std::uint32_t id) {
  Run& run = runs_[id];
  map_.erase(run.keys[0], run.parent);
  if (run.parent != kNoRun) --runs_[run.parent].children;
  figures_.keys -= run.length;
  --figures_.runs;
  key_capacity_ -= run.capacity;
  run = Run{};
  run.parent = free_;
  free_ = id;
}

// Keeps the keys that fit.
void RoutedHistory::resize_keys(Run& run, std::uint32_t capacity) {
  auto keys = std::make_unique_for_overwrite<std::uint64_t[]>(capacity);
  std::copy_n(run.keys.get(), std::min({run.length, run.capacity, capacity}), keys.get());
  key_capacity_ += capacity;
  key_capacity_ -= run.capacity;
  run.keys = std::move(keys);
  run.capacity = capacity;
}

// Gives back spare room once it is more than the keys themselves and worth a copy.
void RoutedHistory::shrink_keys(Run& run) {
  constexpr std::uint32_t kSpareKeys = 16;
  if (run.capacity - run.length > run.length + kSpareKeys) resize_keys(run, run.length);
}

// Cuts the run after its first `at` blocks and returns the new run that holds them. The rest keeps
// its identity, and with it all the children.
std::uint32_t RoutedHistory::split(std::uint32_t id, std::uint32_t at) {
  const std::uint32_t head_id = new_run(runs_[id].parent, {runs_[id].keys.get(), at});
  Run& head = runs_[head_id];
  Run& tail = runs_[id];
  map_.replace(head.keys[0], head.parent, head_id);
  head.children = 1;
  std::copy(tail.keys.get() + at, tail.keys.get() + tail.length, tail.keys.get());
  tail.length -= at;
  tail.parent = head_id;
  shrink_keys(tail);
  map_.insert(tail.keys[0], head_id, id);

  spill_bytes_ -= tail.holders.spill_bytes();
  HolderList all = std::move(tail.holders);
  head.holders.reserve(all.size());
  tail.holders.reserve(static_cast<std::size_t>(
      std::ranges::count_if(all.view(), [at](const Holder& h) { return h.held > at; })));
  for (const Holder& holder : all.view()) {
    if (holder.held > at) {
      tail.holders.insert({holder.slot, holder.held - at, holder.link});
      const std::uint32_t newer = recency_.newer(holder.link);
      const std::uint32_t link = recency_.add(holder.slot, head_id, newer);
      head.holders.insert({holder.slot, at, link});
    } else {
      recency_.set_run(holder.link, head_id);
      head.holders.insert(holder);
    }
    if (holder.held >= at) ++head.full_holders;
  }
  spill_bytes_ += head.holders.spill_bytes() + tail.holders.spill_bytes();
  ++figures_.splits;
  return head_id;
}

// The endpoint now holds `length` leading blocks of the run, at least as many as before, used just
// before `newer`. Returns the holding's link.
std::uint32_t RoutedHistory::hold(std::uint32_t id, std::uint32_t slot, std::uint32_t length,
                                  std::uint32_t newer) {
  Run& run = runs_[id];
  std::uint32_t before = 0;
  std::uint32_t link = kNoLink;
  if (Holder* holder = run.holders.find(slot)) {
    before = holder->held;
    link = holder->link;
    holder->held = length;
    recency_.move(slot, link, newer);
  } else {
    link = recency_.add(slot, id, newer);
    spill_bytes_ -= run.holders.spill_bytes();
    run.holders.insert({slot, length, link});
    spill_bytes_ += run.holders.spill_bytes();
  }
  if (before < run.length && length == run.length) ++run.full_holders;
  endpoints_[slot].held += length - before;
  figures_.held_blocks += length - before;
  return link;
}

// Adds blocks that no one holds below `parent`, which the endpoint holds whole.
void RoutedHistory::append(std::uint32_t parent, std::uint32_t slot,
                           std::span<const std::uint64_t> keys, std::uint32_t newer) {
  const auto count = static_cast<std::uint32_t>(keys.size());
  figures_.keys += count;
  if (parent != kNoRun && runs_[parent].children == 0 &&
      runs_[parent].holders.size() <= kMaxHoldersToExtend) {
    Run& run = runs_[parent];
    const std::uint32_t length = run.length + count;
    // A quarter to spare: the turns of a conversation come here one by one.
    if (length > run.capacity) resize_keys(run, length + length / 4);
    std::copy(keys.begin(), keys.end(), run.keys.get() + run.length);
    run.length = length;
    run.full_holders = 1;
    run.holders.find(slot)->held = length;
    endpoints_[slot].held += count;
    figures_.held_blocks += count;
    return;
  }
  const std::uint32_t id = new_run(parent, keys);
  map_.insert(keys.front(), parent, id);
  if (parent != kNoRun) ++runs_[parent].children;
  hold(id, slot, count, newer);
}

// The endpoint loses the last `blocks` of what it holds of one run.
void RoutedHistory::drop_tail(std::uint32_t slot, std::uint32_t link, std::uint32_t blocks) {
  const std::uint32_t id = recency_.run(link);
  Run& run = runs_[id];
  Holder* holder = run.holders.find(slot);
  endpoints_[slot].held -= blocks;
  figures_.held_blocks -= blocks;
  if (holder->held == run.length) --run.full_holders;
  holder->held -= blocks;
  if (holder->held == 0) {
    recency_.remove(slot, link);
    spill_bytes_ -= run.holders.spill_bytes();
    run.holders.erase(holder);
    spill_bytes_ += run.holders.spill_bytes();
  }
  if (run.holders.size() == 0) {
    free_run(id);
  } else if (run.full_holders == 0) {
    fit_to_holders(run);
  }
}

// Cuts off the keys that no one holds any more. There are no children: whoever holds a child holds
// the whole run.
void RoutedHistory::fit_to_holders(Run& run) {
  std::uint32_t longest = 0;
  for (const Holder& holder : run.holders.view()) {
    if (holder.held > longest) {
      longest = holder.held;
      run.full_holders = 0;
    }
    if (holder.held == longest) ++run.full_holders;
  }
  figures_.keys -= run.length - longest;
  run.length = longest;
  shrink_keys(run);
}

void RoutedHistory::evict(std::uint32_t slot) {
  const Endpoint& state = endpoints_[slot];
  while (state.held > state.budget) {
    const std::uint32_t link = recency_.oldest(slot);
    const std::uint32_t held = runs_[recency_.run(link)].holders.find(slot)->held;
    const auto excess = std::min<std::uint64_t>(held, state.held - state.budget);
    drop_tail(slot, link, static_cast<std::uint32_t>(excess));
    figures_.evicted_blocks += excess;
    if (excess < held) ++figures_.partial_trims;
  }
}

}  // namespace fairlead::prefix
