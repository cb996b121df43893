// SPDX-License-Identifier: Apache-2.0
// KvHolders: who holds a run. Full holders are kept inline up to 8, then in a list up to 64 slots,
// then as bits for all slots (whichever is smaller); holders of only the run's beginning are a list
// of at most 16 (slot, blocks), whose owner splits the run before there are more. Threads: the
// lane's writer; changes belong inside a KvWriteSection once the run can be reached.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/prefix/kv_run.h"

namespace fairlead::prefix {

class KvHolders {
 public:
  KvHolders(KvWords& words, std::uint32_t slots_max);

  // Leading blocks of the run that the slot holds.
  std::uint32_t cutoff(const KvRun& run, std::uint16_t slot) const {
    if (holds_all(run, slot)) return run.length.load(std::memory_order_relaxed);
    return partial_count(run) == 0 ? 0 : partial_cutoff(run, slot);
  }
  bool holds_all(const KvRun& run, std::uint16_t slot) const;
  static std::uint32_t full_count(const KvRun& run) {
    return run.full_count.load(std::memory_order_relaxed);
  }
  static std::uint32_t partial_count(const KvRun& run) {
    return run.partial_count.load(std::memory_order_relaxed);
  }
  static std::uint32_t count(const KvRun& run) { return full_count(run) + partial_count(run); }
  // The i-th partial holder as slot << 16 | blocks; i below partial_count().
  std::uint32_t partial(const KvRun& run, std::uint32_t i) const;
  std::uint32_t longest_partial(const KvRun& run) const;
  std::uint32_t median_partial(const KvRun& run) const;

  // Any holder at all, for who takes holders off one by one. The run must have one.
  std::uint16_t any(const KvRun& run) const;
  // A holder among the marked slots (one bit each), or -1.
  std::int32_t any_of(const KvRun& run, const std::uint64_t* marked) const;

  // Appends every holder and how many leading blocks it holds.
  void list(const KvRun& run, std::vector<std::pair<std::uint16_t, std::uint16_t>>& out) const;

  // Make the lists long enough for one more. Not inside a section: they have their own.
  void reserve_full(KvRun& run);
  void reserve_partial(KvRun& run);
  // After reserve_full(); the slot must not be a holder.
  void add_full(KvRun& run, std::uint16_t slot);
  void remove_full(KvRun& run, std::uint16_t slot);
  // After reserve_partial(); the slot must not be a holder.
  void add_partial(KvRun& run, std::uint16_t slot, std::uint32_t blocks);
  void set_partial(KvRun& run, std::uint16_t slot, std::uint32_t blocks);
  void remove_partial(KvRun& run, std::uint16_t slot);

  // Holders of `run` beyond `at` become those of `tail`, which readers cannot reach yet.
  void copy_tail(const KvRun& run, std::uint32_t at, KvRun& tail);
  // Drops what lies beyond the run's new length: whoever holds that much holds all.
  // Memory for it was reserved by reserve_cut().
  void cut(KvRun& run, std::uint32_t length);
  void reserve_cut(KvRun& run, std::uint32_t length);
  void clear(KvRun& run);

 private:
  std::uint32_t partial_cutoff(const KvRun& run, std::uint16_t slot) const;
  std::int32_t partial_index(const KvRun& run, std::uint16_t slot) const;
  KvWords::Word* partials(const KvRun& run) const;
  KvWords::Word* fulls(const KvRun& run) const;
  void reserve_fulls(KvRun& run, std::uint32_t total);
  std::uint32_t capacity(const KvRun& run) const;
  void release_full(KvRun& run);

  KvWords& words_;
  std::uint32_t bits_class_;
  std::uint32_t bit_words_;
};

}  // namespace fairlead::prefix
