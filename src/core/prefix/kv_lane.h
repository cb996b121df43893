// SPDX-License-Identifier: Apache-2.0
// KvLane: the writing side of the KV index. One lane has one writer and owns all that its slots
// hold; readers ask through KvIndex. A slot is one cache that reports for itself: an endpoint's
// data-parallel rank on one tier. Blocks are named twice: by the engine's own 64-bit hash, which
// stores' parents and removals use, and by the router's content hash, from which the keys that
// lookups use are chained (token_keys.h).
//
// What a slot holds is a set of blocks, with copies: an engine reports each physical copy, so a
// block is gone at the removal of its last one. At most `copies_max` are counted, so that engines
// that announce blocks again do not pin them.
// Hashes live in domains. Slots of one domain agree that equal hashes mean equal content (engines
// with the same seeded cryptographic hash); whoever is not known to agree gets a domain of its own.
// A hash of a domain that arrives with another content than the domain knows is refused (counted).
// The names that a domain gave stay until their blocks are gone, also when the domain is not used
// any more.
//
// Bounds. Memory: `budget_bytes`, reserved as address space (kv_arena.h); a store that would pass
// it first makes room by forgetting runs: the least recently stored first, those held by one slot
// before those shared, tails first, and only so much in one call: what does not fit then is
// refused. Engines do not announce hits, so what is forgotten is missed until stored again: the
// index then claims less than is held, never more. Stores whose parent is unknown wait for it as
// orphans, at most `orphan_blocks_max` and an eighth of the budget; of the slot of which most wait
// the oldest is dropped. When the parent comes they are taken in by about 128 blocks a store, the
// others with the next ones or in sweep(). All else that fails is counted, never an error.
//
// Threads: one writer. Readers may run beside it all the time. retire() and clear() are O(1); the
// memory comes back through sweep(), called in slices by the writer when idle. A slot is reused by
// open() only after recycle(), which the owner calls when no reader can still use the old meaning
// of the slot's row (grace, docs/threads.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "core/prefix/kv_index.h"

namespace fairlead::codec {
struct RestartRun;
}

namespace fairlead::prefix {

using KvSlot = std::uint16_t;
using KvDomain = std::uint32_t;

struct KvLaneOptions {
  std::uint64_t seed = 0;  // The chaining seed: the one of TokenKeys.
  // At most 64 GiB; at least 8 MiB, and more for many slots (both asserted).
  std::uint64_t budget_bytes = std::uint64_t{1} << 30;
  std::uint32_t slots_max = 1024;  // Rows of this lane in a lookup, at most 65,535.
  std::uint32_t copies_max = 4;    // Of one block in one slot, unless it is opened with another.
  std::uint32_t orphan_blocks_max = 65'536;
};

// All ever-rising but those marked "now".
struct KvFigures {
  std::uint64_t stored = 0;         // Blocks newly held by a slot.
  std::uint64_t removed = 0;        // Blocks no longer held because an engine said so.
  std::uint64_t copies = 0;         // Stores of a block that the slot held already.
  std::uint64_t copies_capped = 0;  // Of these, not counted: copies_max was reached.
  std::uint64_t unknown_removals = 0;
  std::uint64_t unknown_holds = 0;  // Placeholders whose block nobody has stored.
  std::uint64_t conflicts = 0;      // Blocks refused: the hash stands for other content.
  std::uint64_t orphaned = 0;       // Blocks that waited for their parent.
  std::uint64_t adopted = 0;        // Of these, placed when it came.
  std::uint64_t orphans_dropped = 0;
  std::uint64_t forgotten = 0;  // Held blocks given up for the byte budget.
  std::uint64_t refused = 0;    // Blocks not taken: budget without anything to forget.
  std::uint64_t splits = 0;
  std::uint64_t holes = 0;  // Removals inside of what a slot held.
  std::uint64_t retired = 0;
  std::uint64_t swept = 0;          // Retired slots wholly swept.
  std::uint64_t runs = 0;           // Now.
  std::uint64_t blocks = 0;         // Now, distinct.
  std::uint64_t orphan_blocks = 0;  // Now.
};

// What a store of a block means that the slot holds already: a copy of it, or nothing, as where
// events are told again that are in the index.
enum class KvRepeats : std::uint8_t { kCopies, kIgnored };

class KvTrie;

class KvLane {
 public:
  explicit KvLane(const KvLaneOptions& options);
  ~KvLane();
  KvLane(const KvLane&) = delete;
  KvLane& operator=(const KvLane&) = delete;

  // A domain nobody else is in. Domain 0 exists from the start: the fleet's shared one.
  KvDomain new_domain();

  // A slot that holds nothing, and counts so many copies of a block. None when all of slots_max are
  // in use or wait for recycle().
  std::optional<KvSlot> open(KvDomain domain);
  std::optional<KvSlot> open(KvDomain domain, std::uint32_t copies_max);

  // The slot holds these blocks now: a chain that continues `parent` (an engine hash), or begins at
  // the namespace's root. hashes and contents have equal lengths (asserted). Returns the key of the
  // last one; none when it waits for its parent, or was not taken.
  std::optional<std::uint64_t> store(KvSlot slot, std::uint64_t root,
                                     std::optional<std::uint64_t> parent,
                                     std::span<const std::uint64_t> hashes,
                                     std::span<const std::uint64_t> contents);
  // Placeholder store, as of a tier's copy: blocks known by hash alone, through any slot of the
  // same domain. Those unknown are counted and ignored.
  void hold(KvSlot slot, std::span<const std::uint64_t> hashes);
  // A chain from a namespace's root that is known by its keys alone, which stand for its hashes
  // too, so the slot wants a domain that no engine is in.
  void store_keys(KvSlot slot, std::span<const std::uint64_t> keys);
  void remove(KvSlot slot, std::span<const std::uint64_t> hashes);
  // An event of the slot is to come, the third after the next, and begins at a block that is
  // `known`: a store's parent, the first to be removed. `next` is the first to be stored. Only
  // fetches memory into the cache: whoever does not call it, or calls it wrongly, loses time alone.
  void expect(KvSlot slot, std::uint64_t known, std::uint64_t next);

  // The slot holds nothing from now on and is to be swept, then recycled.
  void retire(KvSlot slot);
  // All blocks of the slot are gone but its cache lives on, in the slot that is returned: the same
  // one when it held nothing; else it is retired and another is opened in the same domain. None as
  // in open(); retired all the same.
  std::optional<KvSlot> clear(KvSlot slot);

  // Up to `budget` steps (about 20 to 100 ns each) of sweeping, and other work for idle moments:
  // stores that waited are placed, memory is moved to huge pages (some 100 us, once for each 2
  // MiB). Returns the steps left undone in this pass, 0 when nothing is left to do.
  std::size_t sweep(std::size_t budget);
  // Whether a retired slot is swept and only waits for recycle().
  bool swept(KvSlot slot) const;
  void recycle(KvSlot slot);

  void set_repeats(KvRepeats repeats);

  // For a restart of the router: all that is held, run by run, with engine hashes as they are kept
  // here (they mean the same to a lane of the same seed with the same domains). Updates may come in
  // between: a run is as it is when it is given out, and what became a run meanwhile comes at the
  // end. Copies and orphans are left out. One export at a time; begin_export() begins it anew, and
  // end_export() breaks it off.
  enum class Exported : std::uint8_t {
    kRun,
    kLooking,  // None was found in some steps; there may be more.
    kEnd,
  };
  void begin_export();
  void end_export();
  Exported export_next(codec::RestartRun& run);
  // slots[s] is the open slot that holds what slot s held in the export, kNoSlot: none. Blocks that
  // are there already, or for which there is no room, are passed over.
  static constexpr std::uint32_t kNoSlot = 0xffffffff;
  void import_run(const codec::RestartRun& run, std::span<const std::uint32_t> slots);
  // Domains are 0 to domains() - 1.
  KvDomain domains() const;

  // These are for the writer's thread.
  const KvFigures& figures() const;
  std::uint64_t held_blocks(KvSlot slot) const;
  // So many of a chain's blocks, from its beginning on, the slot holds.
  std::size_t held_from_start(KvSlot slot, std::span<const std::uint64_t> keys) const;
  // Bytes now owned, without the allocator's own overhead.
  std::uint64_t memory_bytes() const;
  std::uint32_t slots_max() const;

  // For readers; see KvIndex::match. depths.size() <= slots_max.
  void match(std::span<const std::uint64_t> keys, std::span<KvDepth> depths,
             KvLookup& lookup) const;

 private:
  std::unique_ptr<KvTrie> trie_;
};

}  // namespace fairlead::prefix
