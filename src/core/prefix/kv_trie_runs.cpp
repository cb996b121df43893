// SPDX-License-Identifier: Apache-2.0
// Runs and their holders: making, splitting, shortening, freeing.
#include <algorithm>

#include "base/assert.h"
#include "base/mutant.h"
#include "core/prefix/kv_trie.h"

namespace fairlead::prefix {

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

std::uint32_t length_of(const KvRun& run) { return run.length.load(kRelaxed); }
std::uint32_t start_of(const KvRun& run) { return run.start.load(kRelaxed); }
void set_length(KvRun& run, std::uint32_t length) {
  run.length.store(static_cast<std::uint16_t>(length), kRelaxed);
}

}  // namespace

// Empty, without holders, unknown to readers: its length is 0 until it is published.
std::uint32_t KvTrie::new_run() {
  const std::uint32_t id = runs_.allocate();
  KvRun& run = runs_[id];
  run.start.store(0, kRelaxed);
  run.table.store(0, kRelaxed);
  run.touched = 1;
  if (exporting_) newer_.push_back(id);
  return id;
}

void KvTrie::set_chunk(KvRun& run, std::uint32_t number, std::uint32_t chunk) {
  reserve_table(run, number + 1);
  const std::uint32_t table = run.table.load(kRelaxed);
  if (table == 0) {
    run.chunks[number].store(chunk, kRelaxed);
  } else {
    set_half(words_.at(table), number, chunk);
  }
}

void KvTrie::reserve_table(KvRun& run, std::uint32_t chunks) {
  const std::uint32_t old = run.table.load(kRelaxed);
  const std::uint32_t room = old == 0 ? kInlineChunks : KvWords::words_of(run.table_class) * 2;
  if (chunks <= room) return;
  const unsigned size_class = KvWords::class_of((chunks + 1) / 2);
  const std::uint32_t table = words_.allocate(size_class);
  for (std::uint32_t i = 0; i < room; ++i) {
    set_half(words_.at(table), i, chunk_at(run, words_, i));
  }
  {
    const KvWriteSection section(run);
    run.table.store(table, kRelaxed);
  }
  if (old != 0) words_.release(old, run.table_class);
  run.table_class = size_class;
}

// Blocks from `at` on become a run of their own. Returns it.
std::uint32_t KvTrie::split(std::uint32_t id, std::uint32_t at) {
  const std::uint32_t tail_id = new_run();
  KvRun& run = runs_[id];
  KvRun& tail = runs_[tail_id];
  const std::uint32_t length = length_of(run);
  const std::uint32_t number = start_of(run) + at;  // Of the tail's first block.
  const std::uint32_t first = number / kChunkBlocks;
  const std::uint32_t last = (start_of(run) + length - 1) / kChunkBlocks;
  const std::uint32_t start = number % kChunkBlocks;
  const std::uint64_t tail_key = key_at(run, at);
  const std::uint64_t end_key = key_at(run, at - 1);
  ++figures_.splits;

  holders_.copy_tail(run, at, tail);
  reserve_table(tail, last - first + 1);
  if (start != 0) split_chunk(run, number, tail_id);
  for (std::uint32_t i = start == 0 ? first : first + 1; i <= last; ++i) {
    const std::uint32_t chunk = chunk_at(run, words_, i);
    KvChunkInfo& info = blocks_.info(chunk);
    info.run = tail_id;
    info.base =
        static_cast<std::int32_t>((i - first) * kChunkBlocks) - static_cast<std::int32_t>(start);
    set_chunk(tail, i - first, chunk);
  }
  {
    const KvWriteSection section(tail);
    tail.start.store(start, kRelaxed);
    tail.first_key.store(tail_key, kRelaxed);
    tail.last_key.store(run.last_key.load(kRelaxed), kRelaxed);
    set_length(tail, length - at);
  }
  tail.touched = run.touched;
  // Readers that see the run shortened find the rest by its first key.
  heads_.insert(tail_key, tail_id);
  holders_.reserve_cut(run, at);
  const KvWriteSection section(run);
  set_length(run, at);
  run.last_key.store(end_key, kRelaxed);
  holders_.cut(run, at);
  return tail_id;
}

// The chunk in whose middle the tail begins: its blocks from there on are copied to a chunk of the
// tail's own. Those left behind are beyond the run's end.
void KvTrie::split_chunk(const KvRun& run, std::uint32_t number, std::uint32_t tail_id) {
  const std::uint32_t from = chunk_at(run, words_, number / kChunkBlocks);
  const std::uint32_t begin = number % kChunkBlocks;
  const std::uint32_t to = blocks_.allocate(tail_id, -static_cast<std::int32_t>(begin));
  const std::uint32_t left = start_of(run) + length_of(run) - number / kChunkBlocks * kChunkBlocks;
  const std::uint32_t end = std::min(left, kChunkBlocks);
  KvChunk& source = blocks_.chunk(from);
  KvChunk& target = blocks_.chunk(to);
  for (std::uint32_t i = begin; i < end; ++i) {
    target.keys[i].store(source.keys[i].load(kRelaxed), kRelaxed);
    target.hashes[i] = source.hashes[i];
    engine_.rename(source.hashes[i], location_of(from, i), location_of(to, i));
  }
  engine_.move_aliases(from, to, begin);
  blocks_.info(from).blocks = static_cast<std::uint8_t>(blocks_.info(from).blocks - (end - begin));
  blocks_.info(to).blocks = static_cast<std::uint8_t>(end - begin);
  blocks_.info(to).copied = blocks_.info(from).copied;
  set_chunk(runs_[tail_id], 0, to);
}

// The slot holds the first `to` blocks, more than before. Returns the place of the last.
KvTrie::Place KvTrie::raise(std::uint32_t id, KvSlot slot, std::uint32_t to) {
  while (to < length_of(runs_[id]) && KvHolders::partial_count(runs_[id]) == kPartialMax &&
         holders_.cutoff(runs_[id], slot) == 0) {
    const std::uint32_t middle = holders_.median_partial(runs_[id]);
    const std::uint32_t tail = split(id, middle);
    if (to <= middle) continue;
    raise(id, slot, middle);
    id = tail;
    to -= middle;
  }
  KvRun& run = runs_[id];
  const std::uint32_t held = holders_.cutoff(run, slot);
  run.touched = 1;
  if (to == length_of(run)) {
    holders_.reserve_full(run);
    const KvWriteSection section(run);
    if (held > 0) holders_.remove_partial(run, slot);
    holders_.add_full(run, slot);
  } else if (held > 0) {
    const KvWriteSection section(run);
    holders_.set_partial(run, slot, to);
  } else {
    holders_.reserve_partial(run);
    const KvWriteSection section(run);
    holders_.add_partial(run, slot, to);
  }
  return {.run = id, .offset = to - 1};
}

// The slot holds only the first `to` blocks, fewer than before; the run may be gone after that.
void KvTrie::lower(std::uint32_t id, KvSlot slot, std::uint32_t to) {
  KvRun& run = runs_[id];
  const std::uint32_t length = length_of(run);
  const bool all = holders_.holds_all(run, slot);
  if (KvHolders::count(run) == 1) {
    to == 0 ? free_run(id) : truncate(run, to);
    return;
  }
  if (to > 0 && all && KvHolders::partial_count(run) == kPartialMax) {
    lower(split(id, to), slot, 0);
    return;
  }
  if (to > 0 && all) holders_.reserve_partial(run);
  {
    const KvWriteSection section(run);
    if (all) {
      holders_.remove_full(run, slot);
      if (to > 0) holders_.add_partial(run, slot, to);
    } else if (to > 0) {
      holders_.set_partial(run, slot, to);
    } else {
      holders_.remove_partial(run, slot);
    }
  }
  if (KvHolders::full_count(run) > 0) return;
  const std::uint32_t longest = holders_.longest_partial(run);
  FAIRLEAD_DEBUG_ASSERT(longest > 0 && longest < length);
  if (longest < length) truncate(run, longest);
}

// Nobody holds more than `length` blocks, which is less than the run has.
void KvTrie::truncate(KvRun& run, std::uint32_t length) {
  const std::uint32_t before = length_of(run);
  const std::uint64_t last_key = key_at(run, length - 1);
  holders_.reserve_cut(run, length);
  {
    const KvWriteSection section(run);
    set_length(run, length);
    run.last_key.store(last_key, kRelaxed);
    holders_.cut(run, length);
  }
  kill(run, length, before);
}

void KvTrie::free_run(std::uint32_t id) {
  KvRun& run = runs_[id];
  const std::uint32_t length = length_of(run);
  heads_.erase(run.first_key.load(kRelaxed), id);
  {
    const KvWriteSection section(run);
    set_length(run, 0);
    run.first_key.store(0, kRelaxed);
    holders_.clear(run);
  }
  kill(run, 0, length);
  const std::uint32_t table = run.table.load(kRelaxed);
  if (table != 0) words_.release(table, run.table_class);
  runs_.release(id);
}

// Of blocks number [from, end) the last chunk, as far as kill() needs it.
void KvTrie::prefetch_chunk(const KvRun& run, std::uint32_t from, std::uint32_t end) const {
  if (end <= from) return;
  const std::uint32_t id = chunk_at(run, words_, (end - 1) / kChunkBlocks);
  const KvChunk& chunk = blocks_.chunk(id);
  __builtin_prefetch(&blocks_.info(id), 1);
  __builtin_prefetch(&chunk.keys[0], 1);
  __builtin_prefetch(&chunk.hashes[0]);
  __builtin_prefetch(&chunk.hashes[kChunkBlocks / 2]);
}

// The engine map's entries of blocks number [from, end), those of the last chunk alone.
void KvTrie::prefetch_entries(const KvRun& run, std::uint32_t from, std::uint32_t end) const {
  if (end <= from) return;
  const std::uint32_t begin = std::max(from, (end - 1) / kChunkBlocks * kChunkBlocks);
  const KvChunk& chunk = blocks_.chunk(chunk_at(run, words_, begin / kChunkBlocks));
  for (; end > begin; --end) engine_.prefetch(chunk.hashes[(end - 1) % kChunkBlocks]);
}

// Blocks [from, to), which readers do not see any more, are forgotten.
void KvTrie::kill(const KvRun& run, std::uint32_t from, std::uint32_t to) {
  figures_.blocks -= to - from;
  const std::uint32_t start = start_of(run);
  const std::uint32_t last = (start + to - 1) / kChunkBlocks * kChunkBlocks;
  prefetch_chunk(run, start + from, last);
  prefetch_entries(run, start + from, start + to);
  for (std::uint32_t end = start + to; end > start + from;) {
    const std::uint32_t begin = std::max(start + from, (end - 1) / kChunkBlocks * kChunkBlocks);
    if (begin >= kChunkBlocks) prefetch_chunk(run, start + from, begin - kChunkBlocks);
    prefetch_entries(run, start + from, begin);
    const std::uint32_t id = chunk_at(run, words_, begin / kChunkBlocks);
    const KvChunk& chunk = blocks_.chunk(id);
    KvChunkInfo& info = blocks_.info(id);
    info.blocks = static_cast<std::uint8_t>(info.blocks - (end - begin));
    if (info.alias != 0) {
      engine_.drop_aliases(id, begin % kChunkBlocks, (end - 1) % kChunkBlocks + 1);
    }
    for (; end > begin; --end) {
      const std::uint32_t index = (end - 1) % kChunkBlocks;
      engine_.erase(chunk.hashes[index], location_of(id, index));
    }
    if (info.blocks == 0) blocks_.release(id);
  }
}

// The slot got blocks again that it holds already.
void KvTrie::count_copies(KvSlot slot, const KvRun& run, std::uint32_t from, std::uint32_t to) {
  if (repeats_ == KvRepeats::kIgnored) return;
  for (std::uint32_t i = from; i < to; ++i) {
    ++figures_.copies;
    blocks_.info(chunk_in(location(run, i))).copied = 1;
    const auto added = copies_.add(slot, key_at(run, i), slots_[slot].copies_max - 1);
    if (added == KvCopies::Added::kRefused) ++figures_.copies_capped;
    if (added == KvCopies::Added::kFirst) ++slots_[slot].copies;
  }
}

// The slot, which holds more than `to` blocks, holds only those, however many copies it had.
void KvTrie::drop(std::uint32_t id, KvSlot slot, std::uint32_t to) {
  const KvRun& run = runs_[id];
  const std::uint32_t held = holders_.cutoff(run, slot);
  Slot& mine = slots_[slot];
  for (std::uint32_t i = to; i < held && mine.copies > 0; ++i) {
    if (blocks_.info(chunk_in(location(run, i))).copied == 0) continue;
    if (copies_.drop(slot, key_at(run, i)) == KvCopies::Dropped::kSome) --mine.copies;
  }
  mine.held -= held - to;
  lower(id, slot, to);
}

void KvTrie::drop_range(KvSlot slot, const Range& range, Holes holes) {
  if (range.run == 0) return;
  figures_.removed += range.high - range.low;
  if (range.high < range.cutoff) ++figures_.holes;
  if (holes == Holes::kForget) {
    // Without memory for a hole, or for one more holder of a beginning, the rest goes too.
    figures_.forgotten += range.cutoff - range.high;
    const bool alone = KvHolders::count(runs_[range.run]) == 1;
    if (!alone) figures_.forgotten += range.low;
    drop(range.run, slot, alone ? range.low : 0);
    return;
  }
  if (range.high < range.cutoff) split(range.run, range.high);
  drop(range.run, slot, range.low);
}

void KvTrie::remove(KvSlot slot, std::span<const std::uint64_t> hashes) {
  const std::uint64_t salt = opened(slot).salt;
  begin_effort(hashes.size());
  for (std::size_t from = 0, count = 0; from < hashes.size(); from += count) {
    count = std::min(window(), hashes.size() - from);
    const auto names = hashes.subspan(from, count);
    const bool forgets = make_room(count) == Room::kNone || planted(Mutant::kForgottenTail);
    const Holes holes = forgets ? Holes::kForget : Holes::kSplit;
    // Stretches need only their first entry here: kill() fetches the others.
    for (std::size_t i = 1; i < std::min(names.size(), kAhead / 4); ++i) {
      engine_.prefetch(names[i] ^ salt);
    }
    Range range;
    for (std::size_t i = 0; i < names.size();) {
      const std::uint32_t stretch = blocks_before(range, names.subspan(i), salt);
      range.low -= stretch;
      i += stretch;
      if (i + kAhead / 4 < names.size()) engine_.prefetch(names[i + kAhead / 4] ^ salt);
      if (i < names.size()) remove_one(slot, names[i++], range, holes);
    }
    drop_range(slot, range, holes);
  }
}

// How many of the hashes name the blocks before the range, one after the other towards the head:
// the usual case, so it is told apart by whole chunks. Blocks that may have copies are left out.
std::uint32_t KvTrie::blocks_before(const Range& range, std::span<const std::uint64_t> hashes,
                                    std::uint64_t salt) const {
  if (range.run == 0) return 0;
  const KvRun& run = runs_[range.run];
  const std::uint32_t start = start_of(run);
  std::uint32_t number = start + range.low;
  std::uint32_t found = 0;
  while (found < hashes.size() && number > start) {
    const std::uint32_t id = chunk_at(run, words_, (number - 1) / kChunkBlocks);
    const KvChunk& chunk = blocks_.chunk(id);
    if (blocks_.info(id).copied != 0) break;
    if (number > 2 * kChunkBlocks) prefetch_chunk(run, start, number - 2 * kChunkBlocks);
    const std::uint32_t begin = std::max(start, (number - 1) / kChunkBlocks * kChunkBlocks);
    for (; number > begin && found < hashes.size(); --number, ++found) {
      if (chunk.hashes[(number - 1) % kChunkBlocks] != (hashes[found] ^ salt)) return found;
    }
  }
  return found;
}

// Engines evict chains from the tail, so neighbours come one after the other: they are gathered
// into a range, which is dropped when a hash is no neighbour.
void KvTrie::remove_one(KvSlot slot, std::uint64_t hash, Range& range, Holes holes) {
  Slot& mine = slots_[slot];
  const std::uint64_t key = hash ^ mine.salt;
  Place at = neighbour(range, key);
  if (at.run == 0) at = place_of(engine_.find(key));
  const bool near = at.run != 0 && at.run == range.run;
  const std::uint32_t held =
      near ? range.cutoff : (at.run == 0 ? 0 : holders_.cutoff(runs_[at.run], slot));
  if (at.offset >= held || (near && at.offset >= range.low && at.offset < range.high)) {
    if (orphans_.cancel(slot, mine.generation, hash) == KvOrphans::Cancelled::kNone) {
      ++figures_.unknown_removals;
    }
    return;
  }
  if (mine.copies > 0 && blocks_.info(chunk_in(location(runs_[at.run], at.offset))).copied != 0) {
    const auto taken = copies_.take(slot, key_at(runs_[at.run], at.offset));
    if (taken == KvCopies::Taken::kLast) --mine.copies;
    if (taken != KvCopies::Taken::kNone) return;
  }
  if (near && at.offset + 1 == range.low) {
    --range.low;
  } else if (near && at.offset == range.high) {
    ++range.high;
  } else {
    drop_range(slot, range, holes);
    if (near) at = place_of(engine_.find(key));  // It may be in another run now.
    const std::uint32_t cutoff = at.run == 0 ? 0 : holders_.cutoff(runs_[at.run], slot);
    range = {};
    if (at.offset >= cutoff) return;  // It went with the others.
    range = {.run = at.run, .low = at.offset, .high = at.offset + 1, .cutoff = cutoff};
  }
}

// The block with this engine key, if it is the one before or behind the range.
KvTrie::Place KvTrie::neighbour(const Range& range, std::uint64_t key) const {
  if (range.run == 0) return {};
  const KvRun& run = runs_[range.run];
  if (range.low > 0 && hash_at(run, range.low - 1) == key) {
    return {.run = range.run, .offset = range.low - 1};
  }
  if (range.high < range.cutoff && hash_at(run, range.high) == key) {
    return {.run = range.run, .offset = range.high};
  }
  return {};
}

}  // namespace fairlead::prefix
