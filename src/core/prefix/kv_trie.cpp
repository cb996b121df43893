// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_trie.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"
#include "base/random.h"

namespace fairlead::prefix {

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

std::uint32_t length_of(const KvRun& run) { return run.length.load(kRelaxed); }
std::uint32_t start_of(const KvRun& run) { return run.start.load(kRelaxed); }

// The longest table of chunks.
constexpr std::uint32_t kTableWordsMax = kRunBlocksMax / kChunkBlocks / 2;

std::uint32_t copies_of(const KvLaneOptions& options) {
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(options.budget_bytes / 1024, 1024, 1U << 22));
}

std::uint32_t orphans_of(const KvLaneOptions& options) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(
      options.orphan_blocks_max, options.budget_bytes / 8 / KvOrphans::kBytesMax));
}

}  // namespace

KvTrie::KvTrie(const KvLaneOptions& options)
    : options_(options),
      keys_(options.seed),
      memory_(pages_bytes(options)),
      words_(memory_),
      runs_(memory_),
      blocks_(memory_),
      heads_(memory_),
      engine_(options.seed, memory_, blocks_),
      holders_(words_, options.slots_max),
      copies_(copies_of(options)),
      orphans_(orphans_of(options)),
      slots_(options.slots_max),
      alive_(new std::atomic<std::uint64_t>[(options.slots_max + 63) / 64]()),
      words_class_(KvWords::class_of(std::max((options.slots_max + 63) / 64, kTableWordsMax))),
      plenty_(pages_for(kWindow) + engine_.pages_for_aliases(kWindow)),
      marked_(KvWords::words_of(KvWords::class_of((options.slots_max + 63) / 64))) {
  FAIRLEAD_ASSERT(options.slots_max > 0 && options.slots_max <= 65'535);
  FAIRLEAD_ASSERT(options.copies_max > 0);
  FAIRLEAD_ASSERT(memory_.pages_max() >= plenty_);
  FAIRLEAD_ASSERT(options.budget_bytes <= std::uint64_t{64} << 30);  // What ids can name.
  free_slots_.reserve(options.slots_max);
  for (std::uint32_t i = options.slots_max; i > 0; --i) {
    free_slots_.push_back(static_cast<KvSlot>(i - 1));
  }
}

// What is kept beside the pages is of a fixed size, or bounded and counted as if it were there.
std::uint64_t KvTrie::pages_bytes(const KvLaneOptions& options) {
  const std::uint64_t directories =
      3 * sizeof(std::uint32_t) * (options.budget_bytes / KvMemory::kPageBytes);
  const std::uint64_t beside =
      directories + KvCopies::bytes_for(copies_of(options)) +
      std::uint64_t{orphans_of(options)} * KvOrphans::kBytesMax +
      std::min(orphans_of(options), options.slots_max) * KvOrphans::kSlotBytes +
      options.slots_max * sizeof(Slot);
  FAIRLEAD_ASSERT(beside < options.budget_bytes);
  return options.budget_bytes - beside;
}

std::optional<KvSlot> KvTrie::open(KvDomain domain, std::uint32_t copies_max) {
  FAIRLEAD_ASSERT(domain < next_domain_);
  if (free_slots_.empty()) return std::nullopt;
  const KvSlot id = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = slots_[id];
  slot = {.state = State::kOpen,
          .domain = domain,
          .generation = slot.generation + 1,
          .copies_max = copies_max,
          .salt = mix64(options_.seed + domain)};
  alive_[id / 64].fetch_or(std::uint64_t{1} << id % 64, std::memory_order_release);
  return id;
}

KvTrie::Slot& KvTrie::opened(KvSlot slot) {
  FAIRLEAD_ASSERT(slot < slots_.size() && slots_[slot].state == State::kOpen);
  return slots_[slot];
}

KvTrie::Place KvTrie::place_of(KvLocation at) const {
  if (at == 0) return {};
  const KvChunkInfo& info = blocks_.info(chunk_in(at));
  return {.run = info.run, .offset = static_cast<std::uint32_t>(info.base) + index_in(at)};
}

KvLocation KvTrie::location(const KvRun& run, std::uint32_t offset) const {
  const std::uint32_t number = start_of(run) + offset;
  return location_of(chunk_at(run, words_, number / kChunkBlocks), number % kChunkBlocks);
}

std::uint64_t KvTrie::key_at(const KvRun& run, std::uint32_t offset) const {
  const KvLocation at = location(run, offset);
  return blocks_.chunk(chunk_in(at)).keys[index_in(at)].load(kRelaxed);
}

std::uint64_t KvTrie::hash_at(const KvRun& run, std::uint32_t offset) const {
  return engine_.key_at(location(run, offset));
}

std::optional<std::uint64_t> KvTrie::store(KvSlot slot, std::uint64_t root,
                                           std::optional<std::uint64_t> parent,
                                           std::span<const std::uint64_t> hashes,
                                           std::span<const std::uint64_t> contents) {
  opened(slot);
  FAIRLEAD_ASSERT(hashes.size() == contents.size());
  if (hashes.empty()) return std::nullopt;
  std::uint64_t previous = root;
  Place at;
  if (parent) {
    // Decoding stores one block at a time, anywhere: its two places are fetched side by side.
    engine_.prefetch(*parent ^ slots_[slot].salt);
    engine_.prefetch(hashes[0] ^ slots_[slot].salt);
    at = place_of(find(slot, *parent));
    if (at.run == 0) {
      park(slot, *parent, hashes, contents);
      return std::nullopt;
    }
    previous = key_at(runs_[at.run], at.offset);
  }
  begin_effort(hashes.size());
  const End end = extend(slot, {.at = at, .key = previous, .hash = parent}, hashes, contents);
  adopt();
  return end.hash ? std::optional(end.key) : std::nullopt;
}

std::size_t KvTrie::held_from_start(KvSlot slot, std::span<const std::uint64_t> keys) const {
  Place at;
  std::size_t held = 0;
  while (held < keys.size()) {
    at = successor(at, keys[held]);
    if (at.run == 0) break;
    const std::uint32_t known = common(at, keys.subspan(held));
    const std::uint32_t cutoff = holders_.cutoff(runs_[at.run], slot);
    if (cutoff <= at.offset) break;
    held += std::min(known, cutoff - at.offset);
    if (cutoff - at.offset < known) break;
    at.offset += known - 1;
  }
  return held;
}

// What an event to come will touch is fetched in three steps, each of which needs what the one
// before it has fetched: the entry of a known block, the block, its run.
void KvTrie::expect(KvSlot slot, std::uint64_t known, std::uint64_t next) {
  const std::uint64_t salt = slots_[slot].salt;
  if (expected_[1].at != 0) {
    const auto* run = reinterpret_cast<const std::byte*>(&runs_[place_of(expected_[1].at).run]);
    __builtin_prefetch(run);
    __builtin_prefetch(run + 64);
  }
  expected_[1] = expected_[0];
  if (expected_[1].key != 0) {
    expected_[1].at = engine_.guess(expected_[1].key);
    if (expected_[1].at != 0) blocks_.prefetch_whole(expected_[1].at);
  }
  expected_[0] = {.key = known ^ salt, .at = 0};
  engine_.prefetch(known ^ salt);
  if (next != known) engine_.prefetch(next ^ salt);
}

// The blocks come after `end`. Returns the end of what the chain is then.
KvTrie::End KvTrie::extend(KvSlot slot, End end, std::span<const std::uint64_t> hashes,
                           std::span<const std::uint64_t> contents) {
  std::array<std::uint64_t, kWindow> keys;
  const std::uint64_t salt = slots_[slot].salt;
  for (std::size_t from = 0, count = 0; from < hashes.size(); from += count) {
    count = std::min(window(), hashes.size() - from);
    const Room room = make_room(count);
    // What was found before may have been forgotten to make the room.
    const bool moved = room == Room::kMade && end.at.run != 0;
    if (room == Room::kNone || (moved && !end.hash)) {
      figures_.refused += hashes.size() - from;
      return {};
    }
    if (moved) end.at = place_of(find(slot, *end.hash));
    const auto names = hashes.subspan(from, count);
    // The first of them; blocks that exist already need no more, write() fetches as it goes.
    for (std::size_t i = 0; i < std::min(count, kAhead); ++i) engine_.prefetch(names[i] ^ salt);
    for (std::size_t i = 0; i < count; ++i) {
      end.key = keys_.chain(end.key, contents[from + i]);
      keys[i] = end.key;
      if (i == 0 || next_domain_ > 1) heads_.prefetch(end.key);
    }
    if (!place(slot, end.at, {names, std::span(keys).first(count)})) {
      figures_.conflicts += hashes.size() - from;
      return {};
    }
    end.hash = names.back();
  }
  return end;
}

void KvTrie::store_keys(KvSlot slot, std::span<const std::uint64_t> keys) {
  opened(slot);
  Place at;
  std::optional<std::uint64_t> before;
  begin_effort(keys.size());
  while (!keys.empty()) {
    const auto some = keys.first(std::min(window(), keys.size()));
    const Room room = make_room(some.size());
    if (room == Room::kNone) {
      figures_.refused += keys.size();
      return;
    }
    if (room == Room::kMade) at = before ? place_of(find(slot, *before)) : Place{};
    place(slot, at, {some, some});
    before = some.back();
    keys = keys.subspan(some.size());
  }
}

// Blocks after `at`, which becomes the last of them. False at the first block whose hash stands
// for other content.
bool KvTrie::place(KvSlot slot, Place& at, Stretch blocks) {
  for (std::size_t i = 0; i < blocks.keys.size();) {
    const Stretch rest{blocks.hashes.subspan(i), blocks.keys.subspan(i)};
    const Place next = successor(at, rest.keys[0]);
    if (next.run == 0) {
      const std::uint32_t appended = append(slot, at, rest);
      if (appended == 0) return false;
      i += appended;
      continue;
    }
    const std::uint32_t count = common(next, rest.keys);
    const std::uint32_t named = name(slots_[slot].salt, next, rest.hashes.first(count));
    if (named > 0) at = hold_range(slot, next, named);
    if (named < count) return false;
    i += count;
  }
  return true;
}

// The block with this key, which comes after `at`, if it exists.
KvTrie::Place KvTrie::successor(Place at, std::uint64_t key) const {
  if (at.run != 0) {
    const KvRun& run = runs_[at.run];
    if (at.offset + 1 < length_of(run) && key_at(run, at.offset + 1) == key) {
      return {.run = at.run, .offset = at.offset + 1};
    }
  }
  const std::uint32_t head = heads_.find(
      key, [this, key](std::uint32_t id) { return runs_[id].first_key.load(kRelaxed) == key; });
  return {.run = head, .offset = 0};
}

// How many of the keys, of which the first is known to be at `at`, the run has from there on.
std::uint32_t KvTrie::common(Place at, std::span<const std::uint64_t> keys) const {
  const KvRun& run = runs_[at.run];
  std::uint32_t high =
      static_cast<std::uint32_t>(std::min<std::size_t>(keys.size(), length_of(run) - at.offset));
  if (key_at(run, at.offset + high - 1) == keys[high - 1]) return high;
  std::uint32_t low = 1;  // That many are common; `high` are not.
  while (high - low > 1) {
    const std::uint32_t middle = (low + high) / 2;
    (key_at(run, at.offset + middle - 1) == keys[middle - 1] ? low : high) = middle;
  }
  return low;
}

// Makes the domain know existing blocks by these hashes. Returns how many it may: the next one's
// hash stands for another block, or the next one has too many names.
std::uint32_t KvTrie::name(std::uint64_t salt, Place at, std::span<const std::uint64_t> hashes) {
  const KvRun& run = runs_[at.run];
  const auto count = static_cast<std::uint32_t>(hashes.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t key = hashes[i] ^ salt;
    const KvLocation here = location(run, at.offset + i);
    if (engine_.key_at(here) == key) continue;
    const KvLocation known = engine_.find(key);
    if (known == here) continue;
    if (known != 0 || !engine_.may_add_alias(here)) return i;
    engine_.add_alias(key, here);
    note_arrival(key);
  }
  return count;
}

// The slot holds `count` existing blocks. Returns the place of the last.
KvTrie::Place KvTrie::hold_range(KvSlot slot, Place at, std::uint32_t count) {
  const std::uint32_t held = holders_.cutoff(runs_[at.run], slot);
  std::uint32_t end = at.offset + count;
  count_copies(slot, runs_[at.run], at.offset, std::min(held, end));
  if (held >= end) return {.run = at.run, .offset = end - 1};
  const std::uint32_t fresh = end - std::max(held, at.offset);
  slots_[slot].held += fresh;
  figures_.stored += fresh;
  if (at.offset > held) {
    at.run = split(at.run, at.offset);
    end = count;
  }
  return raise(at.run, slot, end);
}

// Writes new blocks after `at` (which becomes the last of them) until one exists already. Returns
// how many; 0 when the first one's hash stands for another block.
std::uint32_t KvTrie::append(KvSlot slot, Place& at, Stretch blocks) {
  Slot& mine = slots_[slot];
  bool continues = false;
  if (at.run != 0) {
    const KvRun& run = runs_[at.run];
    const std::uint32_t length = length_of(run);
    if (at.offset + 1 < length) {
      split(at.run, at.offset + 1);
    } else {
      continues = KvHolders::full_count(run) == 1 && holders_.holds_all(run, slot) &&
                  start_of(run) + length < kRunBlocksMax;
    }
  }
  const std::uint32_t id = continues ? at.run : new_run();
  KvRun& run = runs_[id];
  const std::uint32_t offset = continues ? length_of(run) : 0;
  const std::uint32_t count = write(mine, id, offset, blocks);
  if (count == 0) {
    if (!continues) runs_.release(id);
    return 0;
  }
  run.touched = 1;
  if (!continues) {
    run.first_key.store(blocks.keys[0], kRelaxed);
    holders_.add_full(run, slot);
  }
  {
    const KvWriteSection section(run);
    run.last_key.store(blocks.keys[count - 1], kRelaxed);
    run.length.store(static_cast<std::uint16_t>(offset + count), kRelaxed);
  }
  if (!continues) heads_.insert(blocks.keys[0], id);
  mine.held += count;
  figures_.stored += count;
  figures_.blocks += count;
  at = {.run = id, .offset = offset + count - 1};
  return count;
}

// Blocks beyond the run's length, which readers do not see yet, until the run is full, the next
// block exists already or its hash stands for another.
std::uint32_t KvTrie::write(Slot& slot, std::uint32_t id, std::uint32_t offset, Stretch blocks) {
  KvRun& run = runs_[id];
  const std::uint32_t start = start_of(run);
  const auto count = static_cast<std::uint32_t>(
      std::min<std::size_t>(blocks.keys.size(), kRunBlocksMax - start - offset));
  std::uint32_t chunk = 0;
  KvChunk* target = nullptr;
  KvChunkInfo* info = nullptr;
  std::uint32_t i = 0;
  for (; i < count; ++i) {
    const std::uint64_t hash = blocks.hashes[i] ^ slot.salt;
    if (i + kAhead < count) engine_.prefetch(blocks.hashes[i + kAhead] ^ slot.salt);
    const std::uint32_t number = start + offset + i;
    const std::uint32_t index = number % kChunkBlocks;
    if (index == 0 || i == 0) {
      const bool fresh = index == 0 || offset == 0;
      chunk = fresh ? blocks_.allocate(id, static_cast<std::int32_t>(offset + i - index))
                    : chunk_at(run, words_, number / kChunkBlocks);
      if (fresh) set_chunk(run, number / kChunkBlocks, chunk);
      target = &blocks_.chunk(chunk);
      info = &blocks_.info(chunk);
    }
    // Where all are of one domain, a block that exists is known by this hash.
    if ((i > 0 && next_domain_ > 1 && successor({}, blocks.keys[i]).run != 0) ||
        engine_.insert(hash, location_of(chunk, index)) != 0) {
      if (info->blocks == 0) blocks_.release(chunk);
      break;
    }
    target->keys[index].store(blocks.keys[i], kRelaxed);
    target->hashes[index] = hash;
    ++info->blocks;
    note_arrival(hash);
  }
  return i;
}

void KvTrie::hold(KvSlot slot, std::span<const std::uint64_t> hashes) {
  opened(slot);
  begin_effort(hashes.size());
  for (std::size_t i = 0; i < hashes.size();) {
    if (make_room(1) == Room::kNone) {
      figures_.refused += hashes.size() - i;
      return;
    }
    const Place at = place_of(find(slot, hashes[i]));
    if (at.run == 0) {
      ++figures_.unknown_holds;
      ++i;
      continue;
    }
    const KvRun& run = runs_[at.run];
    std::uint32_t count = 1;
    while (i + count < hashes.size() && at.offset + count < length_of(run) &&
           hash_at(run, at.offset + count) == (hashes[i + count] ^ slots_[slot].salt)) {
      ++count;
    }
    hold_range(slot, at, count);
    i += count;
  }
}

// In pieces of what is taken in at once.
void KvTrie::park(KvSlot slot, std::uint64_t parent, std::span<const std::uint64_t> hashes,
                  std::span<const std::uint64_t> contents) {
  figures_.orphaned += hashes.size();
  while (!hashes.empty()) {
    const std::size_t count = std::min(kAdopted, hashes.size());
    const auto names = hashes.first(count);
    const auto parts = contents.first(count);
    figures_.orphans_dropped +=
        orphans_.park(parent ^ slots_[slot].salt, {.slot = slot,
                                                   .generation = slots_[slot].generation,
                                                   .parent = parent,
                                                   .hashes = {names.begin(), names.end()},
                                                   .contents = {parts.begin(), parts.end()},
                                                   .gone = told_again(slot, names)});
    parent = names.back();
    hashes = hashes.subspan(count);
    contents = contents.subspan(count);
  }
}

bool KvTrie::adopt() {
  for (std::size_t done = 0; !arrived_.empty();) {
    if (done >= kAdopted) return true;
    const std::uint64_t parent_key = arrived_.back();
    std::optional<KvOrphan> orphan = orphans_.take(parent_key);
    if (orphan) done += orphan->hashes.size();
    if (!orphan || !take_in(*std::move(orphan))) arrived_.pop_back();
  }
  return false;
}

// False, and it waits again, when its parent was forgotten meanwhile to make room.
bool KvTrie::take_in(KvOrphan orphan) {
  const KvSlot slot = orphan.slot;
  const std::uint64_t salt = slots_[slot].salt;
  if (slots_[slot].state != State::kOpen || slots_[slot].generation != orphan.generation) {
    figures_.orphans_dropped += orphan.hashes.size();
    return true;
  }
  const Place at = place_of(find(slot, orphan.parent));
  if (at.run == 0) {
    const std::uint64_t parent_key = orphan.parent ^ salt;
    figures_.orphans_dropped += orphans_.park(parent_key, std::move(orphan));
    return false;
  }
  begin_effort(orphan.hashes.size());
  End end{.at = at, .key = key_at(runs_[at.run], at.offset), .hash = orphan.parent};
  for (std::size_t from = 0; from < orphan.hashes.size();) {
    if (orphan.gone[from] != 0) {
      // Others may hold it; it is passed by its key.
      end.key = keys_.chain(end.key, orphan.contents[from]);
      end.at = successor(end.at, end.key);
      end.hash.reset();
      if (++from < orphan.hashes.size()) continue;
      // The piece behind it cannot find it by its name.
      auto next = orphans_.take(orphan.hashes.back() ^ salt, slot, orphan.generation);
      if (!next) return true;
      orphan = *std::move(next);
      from = 0;
      continue;
    }
    std::size_t to = from;
    while (to < orphan.hashes.size() && orphan.gone[to] == 0) ++to;
    const std::uint64_t refused = figures_.refused + figures_.conflicts;
    end = extend(slot, end, std::span(orphan.hashes).subspan(from, to - from),
                 std::span(orphan.contents).subspan(from, to - from));
    if (figures_.refused + figures_.conflicts != refused) return true;
    figures_.adopted += to - from;
    from = to;
  }
  note_arrival(orphan.hashes.back() ^ salt);
  return true;
}

const KvFigures& KvTrie::figures() const {
  figures_.runs = runs_.used();
  figures_.orphan_blocks = orphans_.blocks();
  return figures_;
}

std::uint64_t KvTrie::memory_bytes() const {
  return memory_.bytes() + heads_.directory_bytes() + engine_.directory_bytes() + copies_.bytes() +
         orphans_.bytes() + slots_.size() * sizeof(Slot);
}

}  // namespace fairlead::prefix
