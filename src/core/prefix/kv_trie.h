// SPDX-License-Identifier: Apache-2.0
// KvTrie: the structure behind a lane: runs of blocks (kv_run.h), a table from first keys to runs,
// and the engine map. It is a trie compressed to runs, without links: keys name their whole path.
// What the operations mean is said in kv_lane.h; here is how.
//
// A store walks the chain: blocks that exist gain a holder (a bit, a list entry or a longer
// beginning, once a run), new ones are appended to the run they continue when the slot is its only
// full holder, else they begin a run. A run is split where paths part, where a hole begins or ends,
// and at the median when more than 16 slots hold only beginnings. A run is as long as its longest
// holder. Runs are not joined again.
//
// New blocks are written beyond the run's length and published by a short write section; a split
// publishes the new run before it shortens the old one. So a reader that finds a run finds whole
// truths in it, and a chain has no gap at any instant at which no block of it is being removed.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/prefix/kv_bucket_map.h"
#include "core/prefix/kv_copies.h"
#include "core/prefix/kv_engine_map.h"
#include "core/prefix/kv_holders.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/kv_orphans.h"
#include "core/prefix/kv_run.h"
#include "core/prefix/token_keys.h"

namespace fairlead::prefix {

// What a reader needs.
struct KvView {
  const KvRuns& runs;
  const KvChunks& chunks;
  const KvWords& words;
  const KvBucketMap& heads;
  const std::atomic<std::uint64_t>* alive;  // A bit a slot that is not retired.
  std::uint32_t slots_max;
};

class KvTrie {
 public:
  explicit KvTrie(const KvLaneOptions& options);

  KvDomain new_domain() { return next_domain_++; }
  std::optional<KvSlot> open(KvDomain domain) { return open(domain, options_.copies_max); }
  std::optional<KvSlot> open(KvDomain domain, std::uint32_t copies_max);
  std::optional<std::uint64_t> store(KvSlot slot, std::uint64_t root,
                                     std::optional<std::uint64_t> parent,
                                     std::span<const std::uint64_t> hashes,
                                     std::span<const std::uint64_t> contents);
  void hold(KvSlot slot, std::span<const std::uint64_t> hashes);
  void store_keys(KvSlot slot, std::span<const std::uint64_t> keys);
  void remove(KvSlot slot, std::span<const std::uint64_t> hashes);
  void expect(KvSlot slot, std::uint64_t known, std::uint64_t next);
  // Stores that waited and whose parent has come, about kAdopted blocks of them. False when none
  // are left.
  bool adopt();
  void retire(KvSlot slot);
  std::optional<KvSlot> clear(KvSlot slot);
  std::size_t sweep(std::size_t budget);
  void recycle(KvSlot slot);

  void set_repeats(KvRepeats repeats) { repeats_ = repeats; }
  void begin_export();
  void end_export();
  KvLane::Exported export_next(codec::RestartRun& run);
  void import_run(const codec::RestartRun& run, std::span<const std::uint32_t> slots);
  KvDomain domains() const { return next_domain_; }

  bool swept(KvSlot slot) const { return slots_[slot].state == State::kSwept; }
  std::uint64_t held_blocks(KvSlot slot) const { return slots_[slot].held; }
  std::size_t held_from_start(KvSlot slot, std::span<const std::uint64_t> keys) const;
  const KvFigures& figures() const;
  std::uint64_t memory_bytes() const;
  std::uint32_t slots_max() const { return options_.slots_max; }
  KvView view() const {
    return {runs_, blocks_.chunks(), words_, heads_, alive_.get(), options_.slots_max};
  }

 private:
  enum class State : std::uint8_t { kFree, kOpen, kRetired, kSwept };
  struct Slot {
    State state = State::kFree;
    KvDomain domain = 0;
    std::uint32_t generation = 0;
    std::uint32_t copies_max = 0;  // Of a block.
    std::uint32_t copies = 0;      // Blocks with more than one.
    std::uint64_t salt = 0;
    std::uint64_t held = 0;
  };
  // A block of a run; run 0 is none.
  struct Place {
    std::uint32_t run = 0;
    std::uint32_t offset = 0;
  };
  // Where a chain ends: at a block, or before the first one that exists.
  struct End {
    Place at;
    std::uint64_t key = 0;              // Of the block, or the root.
    std::optional<std::uint64_t> hash;  // By which the slot's domain knows the block, if it does.
  };
  // Consecutive blocks [low, high) of a run that a slot holds up to `cutoff`.
  struct Range {
    std::uint32_t run = 0;
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    std::uint32_t cutoff = 0;
  };
  struct Stretch {
    std::span<const std::uint64_t> hashes;
    std::span<const std::uint64_t> keys;
  };
  // A known block by which an event to come begins, on its way into the cache.
  struct Expected {
    std::uint64_t key = 0;  // 0: none.
    KvLocation at = 0;      // Where it seems to be.
  };
  // Blocks placed at a time, while there is plenty of memory and once each store has to make room.
  static constexpr std::size_t kWindow = 128;
  static constexpr std::size_t kScarceWindow = 16;
  static constexpr std::size_t kAdopted = 128;
  // So far ahead of its use an entry of the engine map is fetched.
  static constexpr std::size_t kAhead = 16;

  static std::uint64_t pages_bytes(const KvLaneOptions& options);
  Slot& opened(KvSlot slot);

  // kv_trie.cpp
  KvLocation find(KvSlot slot, std::uint64_t hash) const {
    return engine_.find(hash ^ slots_[slot].salt);
  }
  Place place_of(KvLocation at) const;
  KvLocation location(const KvRun& run, std::uint32_t offset) const;
  std::uint64_t key_at(const KvRun& run, std::uint32_t offset) const;
  std::uint64_t hash_at(const KvRun& run, std::uint32_t offset) const;
  End extend(KvSlot slot, End end, std::span<const std::uint64_t> hashes,
             std::span<const std::uint64_t> contents);
  void park(KvSlot slot, std::uint64_t parent, std::span<const std::uint64_t> hashes,
            std::span<const std::uint64_t> contents);
  bool take_in(KvOrphan orphan);
  bool place(KvSlot slot, Place& at, Stretch blocks);
  Place successor(Place at, std::uint64_t key) const;
  std::uint32_t common(Place at, std::span<const std::uint64_t> keys) const;
  std::uint32_t name(std::uint64_t salt, Place at, std::span<const std::uint64_t> hashes);
  Place hold_range(KvSlot slot, Place at, std::uint32_t count);
  std::uint32_t append(KvSlot slot, Place& at, Stretch blocks);
  std::uint32_t write(Slot& slot, std::uint32_t run, std::uint32_t offset, Stretch blocks);
  void note_arrival(std::uint64_t key) {
    if (orphans_.waiting(key)) arrived_.push_back(key);
  }

  // kv_trie_runs.cpp
  std::uint32_t new_run();
  void set_chunk(KvRun& run, std::uint32_t number, std::uint32_t chunk);
  void reserve_table(KvRun& run, std::uint32_t chunks);
  std::uint32_t split(std::uint32_t run, std::uint32_t at);
  void split_chunk(const KvRun& run, std::uint32_t number, std::uint32_t tail_id);
  Place raise(std::uint32_t run, KvSlot slot, std::uint32_t to);
  void lower(std::uint32_t run, KvSlot slot, std::uint32_t to);
  void truncate(KvRun& run, std::uint32_t length);
  void free_run(std::uint32_t id);
  void prefetch_chunk(const KvRun& run, std::uint32_t from, std::uint32_t end) const;
  void prefetch_entries(const KvRun& run, std::uint32_t from, std::uint32_t end) const;
  void kill(const KvRun& run, std::uint32_t from, std::uint32_t to);
  void count_copies(KvSlot slot, const KvRun& run, std::uint32_t from, std::uint32_t to);
  void drop(std::uint32_t run, KvSlot slot, std::uint32_t to);
  // Whether there is room to split a run where a hole begins.
  enum class Holes : std::uint8_t { kSplit, kForget };
  void drop_range(KvSlot slot, const Range& range, Holes holes);
  void remove_one(KvSlot slot, std::uint64_t hash, Range& range, Holes holes);
  Place neighbour(const Range& range, std::uint64_t key) const;
  std::uint32_t blocks_before(const Range& range, std::span<const std::uint64_t> hashes,
                              std::uint64_t salt) const;

  // kv_trie_sweep.cpp
  enum class Room : std::uint8_t { kSame, kMade, kNone };
  std::uint32_t pages_for(std::size_t blocks) const;
  std::size_t window() const { return memory_.left() >= plenty_ ? kWindow : kScarceWindow; }
  void begin_effort(std::size_t blocks);
  Room make_room(std::size_t blocks);
  bool forget_some();
  void forget_holders(std::uint32_t id);
  void begin_pass();
  void end_pass();

  // kv_trie_export.cpp
  bool export_run(std::uint32_t id, codec::RestartRun& out);
  std::vector<char> told_again(KvSlot slot, std::span<const std::uint64_t> hashes) const;
  std::uint32_t importable(const codec::RestartRun& run) const;
  bool import_names(const codec::RestartRun& run, std::uint32_t blocks);
  // Passes over what is left once there is worse room than that.
  void import_held(KvSlot slot, const codec::RestartRun& run, std::uint32_t blocks, Room worst);
  void take_back(KvSlot slot, const codec::RestartRun& run);

  KvLaneOptions options_;
  TokenKeys keys_;
  KvMemory memory_;
  KvWords words_;
  KvRuns runs_;
  KvBlocks blocks_;
  KvBucketMap heads_;  // First keys of runs.
  KvEngineMap engine_;
  KvHolders holders_;
  KvCopies copies_;
  KvOrphans orphans_;
  std::vector<Slot> slots_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> alive_;
  std::vector<KvSlot> free_slots_;
  std::vector<std::uint64_t> arrived_;  // Hashes that an orphan may wait for.
  std::array<Expected, 2> expected_;    // The last one, and the one before.
  KvDomain next_domain_ = 1;
  mutable KvFigures figures_;
  unsigned words_class_;  // Blocks of words that any run takes are no larger.
  std::uint32_t plenty_;  // Pages left with which a whole window is no question.

  // Sweeping: a pass over all runs for the slots marked.
  std::vector<std::uint64_t> marked_;
  std::vector<KvSlot> retired_;  // To be swept.
  std::vector<KvSlot> passing_;
  std::optional<std::uint32_t> cursor_;  // Of the runs' places; none between passes.
  // Forgetting: the clock hand, how hard it looks, and how much it may still do for this store.
  std::uint32_t hand_ = 0;
  std::uint32_t fruitless_ = 0;
  std::uint64_t effort_ = 0;
  // Exporting: runs in places before the cursor were given out, but for those that are newer.
  bool exporting_ = false;
  std::uint32_t exported_ = 0;
  std::vector<std::uint32_t> newer_;
  std::vector<std::pair<std::uint16_t, std::uint16_t>> listed_;
  KvRepeats repeats_ = KvRepeats::kCopies;
};

}  // namespace fairlead::prefix
