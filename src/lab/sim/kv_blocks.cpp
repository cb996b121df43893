// SPDX-License-Identifier: Apache-2.0
// What a router's index holds, block by block, against the caches that it tells of.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "core/codec/restart_file.h"
#include "lab/sim/kv_follower.h"

namespace fairlead::sim {
namespace {

// Of one block in one cache that the index counts.
constexpr std::uint32_t kCopiesCounted = prefix::KvLaneOptions{}.copies_max;

}  // namespace

void KvKnowledge::list_held() {
  held_.clear();
  codec::RestartRun run;
  lane_.begin_export();
  for (auto what = lane_.export_next(run); what != prefix::KvLane::Exported::kEnd;
       what = lane_.export_next(run)) {
    if (what != prefix::KvLane::Exported::kRun) continue;
    for (const codec::RestartRun::Holder& holder : run.holders) {
      for (std::size_t i = 0; i < holder.blocks; ++i) held_.emplace_back(holder.slot, run.keys[i]);
    }
  }
  std::ranges::sort(held_);
}

void KvKnowledge::check_blocks() {
  list_held();
  for (const auto& [slot, follower] : followers_) {
    if (follower->is_caught_up()) check_blocks(*follower);
  }
  for (const auto& [slot, key] : held_) {
    if (is_somebodys(slot)) continue;
    return ledger_.found("slots are somebody's", fmt::format("slot {} holds blocks", slot));
  }
}

bool KvKnowledge::is_somebodys(prefix::KvSlot slot) const {
  const bool is_engines = std::ranges::any_of(followers_, [&](const auto& entry) {
    const KvFollower& follower = *entry.second;
    return follower.slot() == slot || expected_.slot(follower.ref()) == slot;
  });
  return is_engines || std::ranges::any_of(resumable_, [&](const Resumable& one) {
           return one.known.feed.slots[static_cast<std::size_t>(prefix::KvTier::kDevice)] == slot;
         });
}

void KvKnowledge::check_blocks(const KvFollower& follower) {
  std::vector<std::uint64_t> told;
  if (const auto slot = follower.slot()) {
    const auto mine = std::ranges::equal_range(held_, *slot, {}, &Held::first);
    std::ranges::transform(mine, std::back_inserter(told), &Held::second);
  }
  std::vector<std::uint64_t> hashes;
  follower.engine().list_cached(hashes);
  std::vector<std::uint64_t> cached;
  for (const std::uint64_t hash : hashes) {
    const PromptBlocks::Block& block = *blocks_.find(hash);
    // What the index may leave out it may hold all the same.
    const bool told_of = std::ranges::binary_search(told, block.key);
    if (told_of || !may_miss(follower, block)) cached.push_back(block.key);
  }
  std::ranges::sort(cached);
  cached.erase(std::ranges::unique(cached).begin(), cached.end());
  if (told == cached) return;
  std::vector<std::uint64_t> gone;
  std::ranges::set_difference(told, cached, std::back_inserter(gone));
  ledger_.found("index equals the cache, block by block",
                fmt::format("engine {} holds {} blocks, and {} are told of, {} of which are gone",
                            follower.engine().number(), cached.size(), told.size(), gone.size()));
}

// Of more copies than are counted the index forgets the block too early, and so what is told of
// the blocks behind it has nowhere to go.
bool KvKnowledge::may_miss(const KvFollower& follower, const PromptBlocks::Block& block) const {
  const PromptBlocks::Block* at = &block;
  const std::uint32_t counted = follower.resumed() ? 1 : kCopiesCounted;
  while (follower.engine().copies_of(at->hash) <= counted) {
    if (at->parent == 0) return false;
    at = blocks_.find(at->parent);
  }
  return true;
}

void KvKnowledge::check(const Prompt& prompt) {
  for (const auto& [slot, follower] : followers_) {
    if (follower->is_caught_up()) check_depth(*follower, prompt, follower->told(prompt));
  }
}

void KvKnowledge::check_depth(const KvFollower& follower, const Prompt& prompt, std::size_t told) {
  const std::size_t held = follower.engine().cached_blocks(prompt);
  if (told == held) return;
  if (told < held && may_miss(follower, *blocks_.find((*prompt.hashes)[told]))) return;
  ledger_.found("index equals the cache",
                fmt::format("engine {} holds {} blocks of a prompt, and {} are told of",
                            follower.engine().number(), held, told));
}

void KvKnowledge::check_healed(std::span<const Prompt> prompts) {
  for (const auto& [slot, follower] : followers_) {
    if (follower->is_caught_up()) continue;
    ledger_.found(
        "events heal",
        fmt::format("engine {} has published {} batches, {} are applied, the stream is {}",
                    follower->engine().number(), follower->engine().published(),
                    follower->stream().next_sequence(),
                    prefix::to_string(follower->stream().state())));
  }
  break_off_save();
  check_blocks();
  if (expected_.blocks() > 0) return;  // What was sent a moment ago is told of too.
  // As decisions are told, by endpoint.
  std::vector<prefix::ToldBlocks> answer(kEndpointsMax);
  prefix::ToldScratch scratch;
  for (const Prompt& prompt : prompts) {
    rows_.told(prompt.token_keys, answer, scratch);
    for (const auto& [slot, follower] : followers_) {
      check_depth(*follower, prompt, answer[slot].blocks);
    }
  }
}

}  // namespace fairlead::sim
