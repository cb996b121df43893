// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_lane.h"

#include "base/assert.h"
#include "core/prefix/kv_trie.h"
#include "core/prefix/kv_walk.h"

namespace fairlead::prefix {

KvLane::KvLane(const KvLaneOptions& options) : trie_(std::make_unique<KvTrie>(options)) {}
KvLane::~KvLane() = default;

KvDomain KvLane::new_domain() { return trie_->new_domain(); }
std::optional<KvSlot> KvLane::open(KvDomain domain) { return trie_->open(domain); }
std::optional<KvSlot> KvLane::open(KvDomain domain, std::uint32_t copies_max) {
  return trie_->open(domain, copies_max);
}

std::optional<std::uint64_t> KvLane::store(KvSlot slot, std::uint64_t root,
                                           std::optional<std::uint64_t> parent,
                                           std::span<const std::uint64_t> hashes,
                                           std::span<const std::uint64_t> contents) {
  return trie_->store(slot, root, parent, hashes, contents);
}
void KvLane::hold(KvSlot slot, std::span<const std::uint64_t> hashes) { trie_->hold(slot, hashes); }
void KvLane::store_keys(KvSlot slot, std::span<const std::uint64_t> keys) {
  trie_->store_keys(slot, keys);
}
void KvLane::remove(KvSlot slot, std::span<const std::uint64_t> hashes) {
  trie_->remove(slot, hashes);
}
void KvLane::expect(KvSlot slot, std::uint64_t known, std::uint64_t next) {
  trie_->expect(slot, known, next);
}

void KvLane::retire(KvSlot slot) { trie_->retire(slot); }
std::optional<KvSlot> KvLane::clear(KvSlot slot) { return trie_->clear(slot); }
std::size_t KvLane::sweep(std::size_t budget) { return trie_->sweep(budget); }
bool KvLane::swept(KvSlot slot) const { return trie_->swept(slot); }
void KvLane::recycle(KvSlot slot) { trie_->recycle(slot); }

void KvLane::set_repeats(KvRepeats repeats) { trie_->set_repeats(repeats); }
void KvLane::begin_export() { trie_->begin_export(); }
void KvLane::end_export() { trie_->end_export(); }
KvLane::Exported KvLane::export_next(codec::RestartRun& run) { return trie_->export_next(run); }
void KvLane::import_run(const codec::RestartRun& run, std::span<const std::uint32_t> slots) {
  trie_->import_run(run, slots);
}
KvDomain KvLane::domains() const { return trie_->domains(); }

const KvFigures& KvLane::figures() const { return trie_->figures(); }
std::uint64_t KvLane::held_blocks(KvSlot slot) const { return trie_->held_blocks(slot); }
std::size_t KvLane::held_from_start(KvSlot slot, std::span<const std::uint64_t> keys) const {
  return trie_->held_from_start(slot, keys);
}
std::uint64_t KvLane::memory_bytes() const { return trie_->memory_bytes(); }
std::uint32_t KvLane::slots_max() const { return trie_->slots_max(); }

void KvLane::match(std::span<const std::uint64_t> keys, std::span<KvDepth> depths,
                   KvLookup& lookup) const {
  FAIRLEAD_DEBUG_ASSERT(depths.size() <= slots_max());
  const KvView view = trie_->view();
  KvWalk<KvChecked>(view, keys, depths).run(lookup);
}

}  // namespace fairlead::prefix
