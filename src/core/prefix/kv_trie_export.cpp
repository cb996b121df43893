// SPDX-License-Identifier: Apache-2.0
// What of the index outlives the process: runs out of a trie, and into another one.
#include <algorithm>
#include <array>

#include "core/codec/restart_file.h"
#include "core/prefix/kv_trie.h"

namespace fairlead::prefix {

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr std::uint32_t kLooks = 256;

}  // namespace

void KvTrie::begin_export() {
  exporting_ = true;
  exported_ = 0;
  newer_.clear();
}

void KvTrie::end_export() {
  exporting_ = false;
  newer_ = {};
}

KvLane::Exported KvTrie::export_next(codec::RestartRun& run) {
  for (std::uint32_t looks = 0; exporting_ && exported_ < runs_.places(); ++looks) {
    if (looks == kLooks) return KvLane::Exported::kLooking;
    if (export_run(runs_.id_at(exported_++), run)) return KvLane::Exported::kRun;
  }
  while (!newer_.empty()) {
    const std::uint32_t id = newer_.back();
    newer_.pop_back();
    if (export_run(id, run)) return KvLane::Exported::kRun;
  }
  end_export();  // Runs that come from now on need not be noted.
  return KvLane::Exported::kEnd;
}

// False where there is nothing to be kept, or more names than a record of the file may have.
bool KvTrie::export_run(std::uint32_t id, codec::RestartRun& out) {
  const KvRun& run = runs_[id];
  const std::uint32_t length = run.length.load(kRelaxed);
  if (length == 0) return false;
  listed_.clear();
  holders_.list(run, listed_);
  out.holders.clear();
  for (const auto& [slot, blocks] : listed_) {
    if (slots_[slot].state == State::kOpen) out.holders.push_back({slot, blocks});
  }
  if (out.holders.empty()) return false;
  out.keys.resize(length);
  out.hashes.resize(length);
  out.names.clear();
  for (std::uint32_t i = 0; i < length;) {
    const KvLocation at = location(run, i);
    const KvChunk& chunk = blocks_.chunk(chunk_in(at));
    const std::uint32_t first = i;
    for (std::uint32_t index = index_in(at); index < kChunkBlocks && i < length; ++index, ++i) {
      out.keys[i] = chunk.keys[index].load(kRelaxed);
      out.hashes[i] = chunk.hashes[index];
    }
    const std::uint32_t end = i;
    engine_.each_alias(chunk_in(at), [&](KvLocation block, std::uint64_t key) {
      const std::uint32_t offset = first + index_in(block) - index_in(at);
      if (offset >= first && offset < end) out.names.push_back({offset, key});
    });
  }
  return out.names.size() <= codec::kRestartRunNamesMax;
}

void KvTrie::import_run(const codec::RestartRun& run, std::span<const std::uint32_t> slots) {
  begin_effort(run.keys.size());
  const KvRepeats before = std::exchange(repeats_, KvRepeats::kIgnored);
  const auto slot_of = [&](const codec::RestartRun::Holder& holder) {
    return holder.slot < slots.size() ? slots[holder.slot] : KvLane::kNoSlot;
  };
  // The one that holds most makes the run; the others then find it whole.
  const codec::RestartRun::Holder* most = nullptr;
  for (const codec::RestartRun::Holder& holder : run.holders) {
    if (slot_of(holder) == KvLane::kNoSlot) continue;
    if (most == nullptr || holder.blocks > most->blocks) most = &holder;
  }
  const std::uint32_t blocks = most == nullptr ? 0 : importable(run);
  if (blocks > 0) {
    const auto import_of = [&](const codec::RestartRun::Holder& holder, Room worst) {
      import_held(static_cast<KvSlot>(slot_of(holder)), run,
                  std::min<std::uint32_t>(holder.blocks, blocks), worst);
    };
    import_of(*most, Room::kMade);
    const bool named = import_names(run, blocks);
    if (!named) take_back(static_cast<KvSlot>(slot_of(*most)), run);
    for (const codec::RestartRun::Holder& holder : run.holders) {
      if (!named || &holder == most || slot_of(holder) == KvLane::kNoSlot) continue;
      // What is forgotten now may be these blocks, with their names.
      import_of(holder, Room::kSame);
    }
  }
  repeats_ = before;
}

void KvTrie::import_held(KvSlot slot, const codec::RestartRun& run, std::uint32_t blocks,
                         Room worst) {
  const std::uint64_t salt = opened(slot).salt;
  std::array<std::uint64_t, kWindow> hashes;
  Place at;
  for (std::uint32_t from = 0, count = 0; from < blocks; from += count) {
    count = static_cast<std::uint32_t>(std::min<std::size_t>(window(), blocks - from));
    const Room room = make_room(count);
    if (room > worst) return;
    if (room == Room::kMade && from > 0) at = place_of(engine_.find(run.hashes[from - 1]));
    // The salt of the domain that named it is in the hash already: this one's takes itself out.
    for (std::uint32_t i = 0; i < count; ++i) hashes[i] = run.hashes[from + i] ^ salt;
    const Stretch stretch{std::span(hashes).first(count), std::span(run.keys).subspan(from, count)};
    if (!place(slot, at, stretch)) return;
  }
}

// Where repeats are ignored, blocks that the slot holds already must not be held once more when an
// orphan is adopted.
std::vector<char> KvTrie::told_again(KvSlot slot, std::span<const std::uint64_t> hashes) const {
  std::vector<char> out;
  if (repeats_ == KvRepeats::kCopies) return out;
  for (const std::uint64_t hash : hashes) {
    const Place at = place_of(find(slot, hash));
    out.push_back(at.run != 0 && at.offset < holders_.cutoff(runs_[at.run], slot) ? 1 : 0);
  }
  return out;
}

// Leading blocks whose names stand for them or for nothing yet. A block that was made anew while
// the export ran may be in it twice: held here under a name that stands for the other, it could
// never be removed again.
std::uint32_t KvTrie::importable(const codec::RestartRun& run) const {
  auto blocks = static_cast<std::uint32_t>(run.keys.size());
  for (const codec::RestartRun::Name& name : run.names) {
    const KvLocation known = engine_.find(name.hash);
    if (known != 0 && known != engine_.find(run.hashes[name.offset])) {
      blocks = std::min(blocks, name.offset);
    }
  }
  return blocks;
}

// False, and none was given, where there is no room for them.
bool KvTrie::import_names(const codec::RestartRun& run, std::uint32_t blocks) {
  const auto fresh = static_cast<std::uint32_t>(
      std::ranges::count_if(run.names, [&](const codec::RestartRun::Name& name) {
        return name.offset < blocks && engine_.find(name.hash) == 0;
      }));
  if (fresh == 0) return true;
  if (engine_.pages_for_aliases(fresh) + pages_for(kScarceWindow) > memory_.left()) return false;
  for (const codec::RestartRun::Name& name : run.names) {
    if (name.offset >= blocks) continue;
    const KvLocation at = engine_.find(run.hashes[name.offset]);
    // What is held already is to have its names, also where chunks begin elsewhere now.
    const bool may = at != 0 && engine_.may_add_alias(at, 0xffff);
    if (may && engine_.find(name.hash) == 0) engine_.add_alias(name.hash, at);
  }
  return true;
}

// Without its names a block could not be removed again by the slots that know it by those.
void KvTrie::take_back(KvSlot slot, const codec::RestartRun& run) {
  std::vector<std::uint64_t> hashes = run.hashes;
  for (std::uint64_t& hash : hashes) hash ^= slots_[slot].salt;
  remove(slot, hashes);
}

}  // namespace fairlead::prefix
