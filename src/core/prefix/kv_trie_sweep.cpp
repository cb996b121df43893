// SPDX-License-Identifier: Apache-2.0
// Retired slots and the byte budget: what takes blocks away that no engine removed.
#include <algorithm>
#include <optional>

#include "base/assert.h"
#include "core/prefix/kv_trie.h"

namespace fairlead::prefix {

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
// Blocks taken from one run in one step.
constexpr std::uint32_t kPiece = 256;
// So many runs in a row the clock hand spares because they were stored into lately, and because
// several slots hold them; after each that it took it spares kEased fewer before the next.
constexpr std::uint32_t kSparesFresh = 256;
constexpr std::uint32_t kSparesShared = 512;
constexpr std::uint32_t kEased = 8;
// Holders taken from a shared run in one step.
constexpr std::uint32_t kHolders = 16;
// What a store may do at most to make room, in steps: looks, and blocks forgotten. For each of its
// blocks a few, so that a reserve is kept for so many windows.
constexpr std::uint64_t kEffort = 256;
constexpr std::uint64_t kEffortABlock = 3;
constexpr std::size_t kReserve = 4;

}  // namespace

void KvTrie::retire(KvSlot slot) {
  Slot& mine = opened(slot);
  alive_[slot / 64].fetch_and(~(std::uint64_t{1} << slot % 64), std::memory_order_release);
  mine.state = mine.held == 0 ? State::kSwept : State::kRetired;
  ++figures_.retired;
  if (mine.held == 0) {
    ++figures_.swept;
  } else {
    retired_.push_back(slot);
  }
}

std::optional<KvSlot> KvTrie::clear(KvSlot slot) {
  Slot& mine = opened(slot);
  if (mine.held == 0) {
    ++mine.generation;  // What waits for its parent is void.
    return slot;
  }
  retire(slot);
  return open(mine.domain);
}

void KvTrie::recycle(KvSlot slot) {
  FAIRLEAD_ASSERT(slot < slots_.size() && slots_[slot].state == State::kSwept);
  slots_[slot].state = State::kFree;
  free_slots_.push_back(slot);
}

void KvTrie::begin_pass() {
  passing_.swap(retired_);
  std::fill(marked_.begin(), marked_.end(), 0);
  for (const KvSlot slot : passing_) marked_[slot / 64] |= std::uint64_t{1} << slot % 64;
  cursor_ = 0;
}

// A split may have put blocks of a marked slot behind the cursor: such a slot takes another pass.
void KvTrie::end_pass() {
  for (const KvSlot slot : passing_) {
    if (slots_[slot].held > 0) {
      retired_.push_back(slot);
      continue;
    }
    slots_[slot].state = State::kSwept;
    ++figures_.swept;
  }
  passing_.clear();
  cursor_.reset();
}

std::size_t KvTrie::sweep(std::size_t budget) {
  const std::size_t waiting = adopt() ? arrived_.size() : 0;
  if (!cursor_) {
    if (retired_.empty()) return memory_.join_some() ? waiting + 1 : waiting;
    begin_pass();
  }
  while (*cursor_ < runs_.places()) {
    const std::uint32_t run_id = runs_.id_at(*cursor_);
    const KvRun& run = runs_[run_id];
    const std::uint64_t before = figures_.blocks + engine_.aliases();
    const std::int32_t slot =
        run.length.load(kRelaxed) == 0 ? -1 : holders_.any_of(run, marked_.data());
    if (slot < 0) {
      ++*cursor_;
    } else {
      // From the only holder piece by piece, since its blocks die.
      const auto id = static_cast<KvSlot>(slot);
      const std::uint32_t held = holders_.cutoff(run, id);
      drop(run_id, id, KvHolders::count(run) == 1 && held > kPiece ? held - kPiece : 0);
    }
    const std::uint64_t after = figures_.blocks + engine_.aliases();
    const std::size_t cost = 1 + static_cast<std::size_t>(before - after);
    if (budget <= cost) return runs_.places() - *cursor_ + waiting + 1;
    budget -= cost;
  }
  end_pass();
  return retired_.empty() ? waiting + 1 : runs_.places();
}

// Pages that a store of that many blocks may take, wherever it puts them: each may end a run of its
// own, after one was split.
std::uint32_t KvTrie::pages_for(std::size_t blocks) const {
  const auto names = static_cast<std::uint32_t>(blocks);
  const std::uint32_t pieces = 2 * names + 16;
  return blocks_.chunks().pages_for(pieces) + runs_.pages_for(pieces) +
         words_.pages_for(2 * pieces, words_class_) + heads_.pages_for(pieces) +
         engine_.pages_for(names) + (next_domain_ > 1 ? engine_.pages_for_aliases(names) : 0);
}

void KvTrie::begin_effort(std::size_t blocks) { effort_ = kEffort + kEffortABlock * blocks; }

KvTrie::Room KvTrie::make_room(std::size_t blocks) {
  if (memory_.left() >= plenty_) return Room::kSame;
  Room room = Room::kSame;
  while (effort_ > 0 && pages_for(kReserve * blocks) > memory_.left()) {
    if (forget_some()) room = Room::kMade;
  }
  return pages_for(blocks) > memory_.left() ? Room::kNone : room;
}

// The hand moves on by one run, or takes a piece of the one that it is at. Whether it took any.
bool KvTrie::forget_some() {
  --effort_;
  if (hand_ >= runs_.places()) hand_ = 0;
  if (runs_.places() == 0) return false;
  const std::uint32_t id = runs_.id_at(hand_);
  KvRun& run = runs_[id];
  if (run.length.load(kRelaxed) == 0) {
    ++hand_;
    return false;
  }
  const bool spared = (run.touched != 0 && fruitless_ < kSparesFresh) ||
                      (KvHolders::count(run) > 1 && fruitless_ < kSparesShared);
  run.touched = 0;
  if (spared) {
    ++hand_;
    ++fruitless_;
    return false;
  }
  fruitless_ -= std::min(fruitless_, kEased);
  const std::uint64_t before = figures_.blocks;
  forget_holders(id);
  effort_ -= std::min(effort_, before - figures_.blocks);
  return true;
}

// Of a run's holders some, or of its only one's blocks: tails first.
void KvTrie::forget_holders(std::uint32_t id) {
  const KvRun& run = runs_[id];
  for (std::uint32_t i = 0; i < kHolders; ++i) {
    const KvSlot slot = holders_.any(run);
    const std::uint32_t held = holders_.cutoff(run, slot);
    // The blocks that nobody else holds die.
    const bool last = KvHolders::full_count(run) <= 1;
    const std::uint32_t others = KvHolders::count(run) == 1 ? 0 : holders_.longest_partial(run);
    const bool dear = last && held > others + kPiece;
    const std::uint32_t kept = dear ? held - kPiece : 0;
    figures_.forgotten += held - kept;
    const bool gone = KvHolders::count(run) == 1;
    drop(id, slot, kept);
    if (last || gone) return;
  }
}

}  // namespace fairlead::prefix
