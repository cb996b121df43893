// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_orphans.h"

#include <algorithm>

#include "base/random.h"

namespace fairlead::prefix {

std::uint64_t KvOrphans::block_key(std::uint16_t slot, std::uint32_t generation,
                                   std::uint64_t hash) {
  return mix64(hash ^ mix64(std::uint64_t{generation} << 16 | slot));
}

std::uint64_t KvOrphans::park(std::uint64_t parent_key, KvOrphan orphan) {
  const std::uint64_t size = orphan.hashes.size();
  if (size > blocks_max_) return size;
  std::uint64_t dropped = 0;
  while (blocks_ + size > blocks_max_) {
    const auto oldest = waiting_.lower_bound(first_of(yields(orphan.slot, size)));
    dropped += remove(oldest).hashes.size();
  }
  const std::uint64_t age = first_of(orphan.slot) | next_++;
  blocks_ += size;
  set_share(orphan.slot, share(orphan.slot) + size);
  ++filter_[parent_key % kFilter];
  by_parent_.emplace(parent_key, age);
  orphan.gone.resize(size, 0);
  for (std::size_t i = 0; i < size; ++i) {
    if (orphan.gone[i] == 0)
      by_block_.emplace(block_key(orphan.slot, orphan.generation, orphan.hashes[i]), age);
  }
  waiting_.emplace(age, Waiting{parent_key, std::move(orphan)});
  return dropped;
}

std::uint64_t KvOrphans::share(std::uint16_t slot) const {
  const auto found = shares_.find(slot);
  return found == shares_.end() ? 0 : found->second;
}

void KvOrphans::set_share(std::uint16_t slot, std::uint64_t blocks) {
  by_share_.erase({share(slot), slot});
  if (blocks == 0) {
    shares_.erase(slot);
    return;
  }
  shares_[slot] = blocks;
  by_share_.emplace(blocks, slot);
}

std::uint16_t KvOrphans::yields(std::uint16_t slot, std::uint64_t size) const {
  const std::uint64_t own = share(slot);
  const auto& [most, other] = *by_share_.rbegin();
  return own > 0 && own + size >= most ? slot : other;
}

KvOrphan KvOrphans::remove(std::map<std::uint64_t, Waiting>::iterator at) {
  const std::uint64_t age = at->first;
  KvOrphan orphan = std::move(at->second.orphan);
  const std::uint64_t parent_key = at->second.parent_key;
  waiting_.erase(at);
  by_parent_.erase({parent_key, age});
  for (const std::uint64_t hash : orphan.hashes) {
    by_block_.erase({block_key(orphan.slot, orphan.generation, hash), age});
  }
  --filter_[parent_key % kFilter];
  blocks_ -= orphan.hashes.size();
  set_share(orphan.slot, share(orphan.slot) - orphan.hashes.size());
  return orphan;
}

std::optional<KvOrphan> KvOrphans::take(std::uint64_t parent_key) {
  const auto at = by_parent_.lower_bound({parent_key, 0});
  if (at == by_parent_.end() || at->first != parent_key) return std::nullopt;
  return remove(waiting_.find(at->second));
}

std::optional<KvOrphan> KvOrphans::take(std::uint64_t parent_key, std::uint16_t slot,
                                        std::uint32_t generation) {
  for (auto at = by_parent_.lower_bound({parent_key, 0});
       at != by_parent_.end() && at->first == parent_key; ++at) {
    const auto found = waiting_.find(at->second);
    const KvOrphan& orphan = found->second.orphan;
    if (orphan.slot == slot && orphan.generation == generation) return remove(found);
  }
  return std::nullopt;
}

KvOrphans::Cancelled KvOrphans::cancel(std::uint16_t slot, std::uint32_t generation,
                                       std::uint64_t hash) {
  if (blocks_ == 0) return Cancelled::kNone;
  const std::uint64_t key = block_key(slot, generation, hash);
  const auto at = by_block_.lower_bound({key, 0});
  if (at == by_block_.end() || at->first != key) return Cancelled::kNone;
  KvOrphan& orphan = waiting_.find(at->second)->second.orphan;
  by_block_.erase(at);
  for (std::size_t i = 0; i < orphan.hashes.size(); ++i) {
    if (orphan.hashes[i] == hash && orphan.gone[i] == 0) {
      orphan.gone[i] = 1;
      break;
    }
  }
  return Cancelled::kOne;
}

}  // namespace fairlead::prefix
