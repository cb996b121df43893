// SPDX-License-Identifier: Apache-2.0
// KvBucketMap: a multimap from 64-bit hashes to 32-bit ids, 8 bytes an entry. Whoever finds,
// inserts or erases touches one cache line nearly always: a bucket of eight entries, each an id and
// 30 bits of the hash (its tag); the full hash lies with what the id names, and the caller compares
// it.
//
// An entry whose bucket is full goes to the next one that is not: bucket ^ 1, bucket ^ 2 and so on
// within a page of 1,024. A bucket counts the entries that passed it by, and a search that finds
// none passed ends there (as in F14, folly).
//
// It grows by one bucket at a time (linear hashing with two partial expansions, P.-A. Larson,
// 1980), so no insertion costs more than a few others, and the load stays the same while a map
// grows: buckets i and i + n share their entries with a third one, i + 2n, once that exists, and
// with a fourth, i + 3n; when all have four, n doubles. It never shrinks.
//
// Threads: one writer. find_shared() from any thread beside it: an entry that moves is where it
// comes to before the map says so, and leaves its old place afterwards; a miss counts only if the
// map said the same before and after it.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "core/prefix/kv_arena.h"
#include "core/prefix/kv_run.h"

namespace fairlead::prefix {

class KvBucketMap {
 public:
  enum class Shared : std::uint8_t { kFound, kAbsent, kBusy };

  // Takes no page before the first insertion.
  explicit KvBucketMap(KvMemory& memory)
      : memory_(memory),
        data_(memory.data()),
        pages_(new std::atomic<std::uint32_t>[memory.pages_max()]()) {}
  KvBucketMap(const KvBucketMap&) = delete;
  KvBucketMap& operator=(const KvBucketMap&) = delete;

  // Also beside the writer.
  void prefetch(std::uint64_t hash) const {
    const std::uint64_t state = state_.load(std::memory_order_acquire);
    if (state != 0) __builtin_prefetch(&bucket(home(state, tag_of(hash))));
  }

  // The first id for which is_it(id), 0 for none. For the writer.
  template <class IsIt>
  std::uint32_t find(std::uint64_t hash, IsIt&& is_it) const {
    const std::uint64_t state = state_.load(std::memory_order_relaxed);
    return state == 0 ? 0 : search(state, hash, is_it);
  }

  // The same beside the writer. kBusy: entries moved meanwhile, nothing is known.
  template <class IsIt>
  Shared find_shared(std::uint64_t hash, IsIt&& is_it) const {
    const std::uint64_t state = state_.load(std::memory_order_acquire);
    if (state == 0) return Shared::kAbsent;
    if (search(state, hash, is_it) != 0) return Shared::kFound;
    std::atomic_thread_fence(std::memory_order_acquire);
    return state_.load(std::memory_order_relaxed) == state ? Shared::kAbsent : Shared::kBusy;
  }

  void insert(std::uint64_t hash, std::uint32_t id) {
    insert_unless(hash, id, [](std::uint32_t) { return false; });
  }

  // Inserts unless is_it holds for an id that is there; that one, or 0 when inserted.
  template <class IsIt>
  std::uint32_t insert_unless(std::uint64_t hash, std::uint32_t id, IsIt&& is_it) {
    if (buckets_ == 0) open();
    const std::uint32_t tag = tag_of(hash);
    const std::uint32_t first = home(state_.load(std::memory_order_relaxed), tag);
    const Bucket& own = bucket(first);
    if (const std::uint32_t known = among(own, tag, is_it); known != 0) return known;
    unsigned free = free_in(own);
    if (passed(own) == 0 && free != 0) {
      put(bucket(first), static_cast<unsigned>(std::countr_zero(free)), tag, id);
    } else {
      if (passed(own) != 0) {
        const std::uint32_t known = search_on(first, tag, is_it);
        if (known != 0) return known;
      }
      place(first, tag, id);
    }
    if (++count_ > filled(buckets_)) expand();
    return 0;
  }

  // The entry must be there.
  void erase(std::uint64_t hash, std::uint32_t id) {
    const Spot spot = spot_of(hash, id);
    take_out(spot);
    --count_;
  }

  // The entry must be there; it names `to` from now on.
  void rename(std::uint64_t hash, std::uint32_t id, std::uint32_t to) {
    const Spot spot = spot_of(hash, id);
    set_id(bucket(spot.home ^ spot.step), spot.slot, to);
  }

  // Pages that so many more entries may take.
  std::uint32_t pages_for(std::uint32_t entries) const {
    const std::uint32_t each = filled(kPerPage);
    const std::uint32_t room = (buckets_ + kPerPage - 1) / kPerPage * each;
    const std::uint32_t wanted = count_ + entries;
    return wanted <= room ? 0 : (wanted - room + each - 1) / each;
  }

  // Beside the pages.
  std::size_t directory_bytes() const { return memory_.pages_max() * sizeof(std::uint32_t); }

 private:
  static constexpr unsigned kSlots = 8;
  struct alignas(64) Bucket {
    std::array<std::atomic<std::uint64_t>, kSlots / 2> tags;  // Two a word, shifted by two bits.
    std::array<std::atomic<std::uint64_t>, kSlots / 2> ids;   // Two a word; 0: the place is free.
  };
  struct Spot {
    std::uint32_t home;
    std::uint32_t step;
    unsigned slot;
  };
  static constexpr std::uint32_t kPerPage = KvMemory::kPageBytes / sizeof(Bucket);
  static constexpr unsigned kFirstLevel = 9;  // Groups of the first page: 512, of two buckets.
  static constexpr std::uint64_t kCountBits = 0x3'0000'0003;
  static constexpr std::uint32_t kPassedMax = 15;
  static constexpr std::size_t kMovedMax = 128;

  // How many entries so many buckets have: 7 of 16 places, so that about one access in twenty
  // finds its bucket full and goes on to a second line.
  static constexpr std::uint32_t filled(std::uint32_t buckets) { return buckets / 2 * 7; }
  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 34); }

  // A state: the groups of one more bucket than the others (32 bits), the buckets of those others
  // (8 bits), and how many groups there are, as a power of two.
  static std::uint64_t state_of(unsigned level, std::uint32_t members, std::uint32_t split) {
    return std::uint64_t{level} << 40 | std::uint64_t{members} << 32 | split;
  }
  static unsigned level_in(std::uint64_t state) { return static_cast<unsigned>(state >> 40); }
  static std::uint32_t members_in(std::uint64_t state) {
    return static_cast<std::uint32_t>(state >> 32 & 0xff);
  }
  // Low bits of the tag choose the group, the next two its bucket; of three buckets each gets a
  // third: the last one two thirds of what the other two will give away to four.
  static std::uint32_t home(std::uint64_t state, std::uint32_t tag) {
    const unsigned level = level_in(state);
    const std::uint32_t group = tag & ((1U << level) - 1);
    const std::uint32_t bits = tag >> level;
    const std::uint32_t of_two = bits & 1;
    const std::uint32_t of_three = (bits & 2) != 0 && tag >> 22 >= 85 ? 2 : of_two;
    const std::uint32_t of_four = bits & 3;
    const bool has_more = group < static_cast<std::uint32_t>(state);
    const std::uint32_t less = members_in(state) == 2 ? of_two : of_three;
    const std::uint32_t more = members_in(state) == 2 ? of_three : of_four;
    return group + ((has_more ? more : less) << level);
  }

  Bucket& bucket(std::uint32_t index) const {
    const std::size_t page = pages_[index / kPerPage].load(std::memory_order_relaxed);
    return reinterpret_cast<Bucket*>(data_ + page * KvMemory::kPageBytes)[index % kPerPage];
  }
  static std::uint32_t tag_in(const Bucket& at, unsigned slot) {
    return half_of(at.tags.data(), slot) >> 2;
  }

  // Which of eight halves of words are 0: a bit each.
  static unsigned zeros(std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d) {
#ifdef __SSE2__
    const auto pair = [](std::uint64_t low, std::uint64_t high) {
      const __m128i words =
          _mm_set_epi64x(static_cast<std::int64_t>(high), static_cast<std::int64_t>(low));
      return _mm_cmpeq_epi32(words, _mm_setzero_si128());
    };
    const __m128i all = _mm_packs_epi32(pair(a, b), pair(c, d));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(all, _mm_setzero_si128())));
#else
    unsigned found = 0;
    unsigned bit = 1;
    for (const std::uint64_t word : {a, b, c, d}) {
      if (static_cast<std::uint32_t>(word) == 0) found |= bit;
      if (word >> 32 == 0) found |= 2 * bit;
      bit *= 4;
    }
    return found;
#endif
  }
  // A bit a place.
  static unsigned same_tag(const Bucket& at, std::uint32_t tag) {
    const std::uint64_t wanted = std::uint64_t{tag} << 34 | std::uint64_t{tag} << 2;
    const auto other = [&](unsigned i) {
      return (at.tags[i].load(std::memory_order_relaxed) ^ wanted) & ~kCountBits;
    };
    return zeros(other(0), other(1), other(2), other(3));
  }
  static unsigned free_in(const Bucket& at) {
    const auto ids = [&](unsigned i) { return at.ids[i].load(std::memory_order_relaxed); };
    return zeros(ids(0), ids(1), ids(2), ids(3));
  }
  // How many entries that would be here lie further on. It is in one word, so that readers never
  // see half a change of it; at kPassedMax it stays.
  static std::uint32_t passed(const Bucket& at) {
    const std::uint64_t word = at.tags[0].load(std::memory_order_relaxed);
    return static_cast<std::uint32_t>((word & 3) | (word >> 30 & 12));
  }
  static void set_passed(Bucket& at, std::uint32_t count) {
    const std::uint64_t rest = at.tags[0].load(std::memory_order_relaxed) & ~kCountBits;
    at.tags[0].store(rest | (count & 3) | std::uint64_t{count & 12} << 30,
                     std::memory_order_relaxed);
  }

  template <class IsIt>
  static std::uint32_t among(const Bucket& at, std::uint32_t tag, IsIt&& is_it) {
    for (unsigned same = same_tag(at, tag); same != 0; same &= same - 1) {
      const auto slot = static_cast<unsigned>(std::countr_zero(same));
      const std::uint64_t pair = at.ids[slot / 2].load(std::memory_order_acquire);
      const auto id = static_cast<std::uint32_t>(pair >> slot % 2 * 32);
      if (id != 0 && is_it(id)) return id;
    }
    return 0;
  }
  template <class IsIt>
  std::uint32_t search(std::uint64_t state, std::uint64_t hash, IsIt&& is_it) const {
    const std::uint32_t tag = tag_of(hash);
    const std::uint32_t first = home(state, tag);
    const Bucket& own = bucket(first);
    const std::uint32_t found = among(own, tag, is_it);
    return found != 0 || passed(own) == 0 ? found : search_on(first, tag, is_it);
  }
  template <class IsIt>
  std::uint32_t search_on(std::uint32_t first, std::uint32_t tag, IsIt&& is_it) const {
    for (std::uint32_t step = 1; step < kPerPage; ++step) {
      const Bucket& at = bucket(first ^ step);
      const std::uint32_t found = among(at, tag, is_it);
      if (found != 0 || passed(at) == 0) return found;
    }
    return 0;
  }

  Spot spot_of(std::uint64_t hash, std::uint32_t id) const {
    const std::uint32_t tag = tag_of(hash);
    const std::uint32_t first = home(state_.load(std::memory_order_relaxed), tag);
    for (std::uint32_t step = 0;; ++step) {
      FAIRLEAD_ASSERT(step < kPerPage);
      const Bucket& at = bucket(first ^ step);
      for (unsigned same = same_tag(at, tag); same != 0; same &= same - 1) {
        const auto slot = static_cast<unsigned>(std::countr_zero(same));
        if (half_of(at.ids.data(), slot) == id) return {first, step, slot};
      }
    }
  }

  static void set_id(Bucket& at, unsigned slot, std::uint32_t id) {
    const unsigned shift = slot % 2 * 32;
    const std::uint64_t rest =
        at.ids[slot / 2].load(std::memory_order_relaxed) & ~(std::uint64_t{0xffffffff} << shift);
    at.ids[slot / 2].store(rest | std::uint64_t{id} << shift, std::memory_order_release);
  }
  static void put(Bucket& at, unsigned slot, std::uint32_t tag, std::uint32_t id) {
    const unsigned shift = slot % 2 * 32;
    const std::uint64_t tag_mask = std::uint64_t{0xfffffffc} << shift;
    const std::uint64_t rest = at.tags[slot / 2].load(std::memory_order_relaxed) & ~tag_mask;
    at.tags[slot / 2].store(rest | std::uint64_t{tag} << (2 + shift), std::memory_order_relaxed);
    set_id(at, slot, id);
  }

  // A page is never full: not even of the fullest buckets, those of two that share with a third
  // last, more than 21 places of 32 are taken on average.
  void place(std::uint32_t first, std::uint32_t tag, std::uint32_t id) {
    for (std::uint32_t step = 0;; ++step) {
      FAIRLEAD_ASSERT(step < kPerPage);
      Bucket& at = bucket(first ^ step);
      if (const unsigned free = free_in(at); free != 0) {
        put(at, static_cast<unsigned>(std::countr_zero(free)), tag, id);
        return;
      }
      if (passed(at) < kPassedMax) set_passed(at, passed(at) + 1);
    }
  }

  void take_out(const Spot& spot) {
    set_id(bucket(spot.home ^ spot.step), spot.slot, 0);
    for (std::uint32_t step = 0; step < spot.step; ++step) {
      Bucket& at = bucket(spot.home ^ step);
      if (passed(at) < kPassedMax) set_passed(at, passed(at) - 1);
    }
  }

  void open() {
    pages_[0].store(memory_.take(), std::memory_order_relaxed);
    buckets_ = kPerPage;
    static_assert(kPerPage == 2U << kFirstLevel);
    state_.store(state_of(kFirstLevel, 2, 0), std::memory_order_release);
  }

  static std::uint64_t state_after(std::uint64_t state) {
    const std::uint32_t split = static_cast<std::uint32_t>(state) + 1;
    const unsigned level = level_in(state);
    if (split < 1U << level) return state_of(level, members_in(state), split);
    return members_in(state) == 2 ? state_of(level, 3, 0) : state_of(level + 1, 2, 0);
  }

  // One group gets one more bucket. Without a page for it the others fill up; the owner sees to it
  // that this does not go far.
  void expand() {
    if (buckets_ % kPerPage == 0) {
      if (memory_.left() == 0) return;
      pages_[buckets_ / kPerPage].store(memory_.take(), std::memory_order_relaxed);
    }
    ++buckets_;
    const std::uint64_t before = state_.load(std::memory_order_relaxed);
    const std::uint64_t after = state_after(before);
    struct Moved {
      Spot from;
      std::uint32_t tag;
      std::uint32_t id;
    };
    std::array<Moved, kMovedMax> moved;
    std::size_t count = 0;
    for (std::uint32_t member = 0; member < members_in(before); ++member) {
      const std::uint32_t from = static_cast<std::uint32_t>(before) + (member << level_in(before));
      for (std::uint32_t step = 0; step < kPerPage; ++step) {
        const Bucket& at = bucket(from ^ step);
        for (unsigned slot = 0; slot < kSlots; ++slot) {
          const std::uint32_t id = half_of(at.ids.data(), slot);
          const std::uint32_t tag = tag_in(at, slot);
          if (id == 0 || home(before, tag) != from || home(after, tag) == from) continue;
          FAIRLEAD_ASSERT(count < kMovedMax);
          moved[count++] = {{from, step, slot}, tag, id};
        }
        if (passed(at) == 0) break;
      }
    }
    for (std::size_t i = 0; i < count; ++i)
      place(home(after, moved[i].tag), moved[i].tag, moved[i].id);
    state_.store(after, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t i = 0; i < count; ++i) take_out(moved[i].from);
  }

  KvMemory& memory_;
  std::byte* data_;
  std::unique_ptr<std::atomic<std::uint32_t>[]> pages_;
  std::atomic<std::uint64_t> state_{0};
  // The writer's alone, on a cache line of their own: readers would fetch it again and again.
  alignas(64) std::uint32_t buckets_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace fairlead::prefix
