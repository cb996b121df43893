// SPDX-License-Identifier: Apache-2.0
// Memory of the KV index: address space for a whole budget, reserved once and given out in pages
// of 64 KiB that are touched as they are used. So growing costs a page's first touches, whatever
// the size, nothing is ever given back to the system or asked of it, and the budget cannot be
// passed, because it is the address space.
//
// It is type-stable: a page that once held runs, chunks or words does so for good, and a reader
// that follows an id which has been freed meanwhile reads old or foreign values of the right type,
// and finds out by the version of the run it came from (kv_run.h). All zeros is a valid object of
// every type kept here. An id is an object's distance from the beginning in objects of its size: 32
// bits, 0 is none. Threads: one writer allocates; any thread may follow an id that reached it
// through the index.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "base/reserved_memory.h"

namespace fairlead::prefix {

class KvMemory {
 public:
  static constexpr std::size_t kPageBytes = std::size_t{64} << 10;

  explicit KvMemory(std::uint64_t bytes)
      : pages_max_(static_cast<std::uint32_t>(bytes / kPageBytes)),
        memory_((std::size_t{pages_max_} + 1) * kPageBytes) {}

  std::byte* data() const { return memory_.data(); }
  std::uint32_t pages_max() const { return pages_max_; }
  std::uint32_t left() const { return pages_max_ - taken_; }
  std::uint64_t bytes() const { return taken_ * kPageBytes; }
  // The number of a fresh page, from 1; there must be one left.
  std::uint32_t take() {
    FAIRLEAD_ASSERT(taken_ < pages_max_);
    return ++taken_;
  }
  // Makes pages that are all in use into one of the system's huge ones; false when none are left
  // to join. For idle moments: it takes some 100 us.
  bool join_some() {
    constexpr std::size_t kJoined = ReservedMemory::kHugePage / kPageBytes;
    if (taken_ < (joined_ + 1) * kJoined) return false;
    memory_.join_pages(joined_++ * ReservedMemory::kHugePage);
    return true;
  }

 private:
  std::uint32_t pages_max_;
  std::uint32_t taken_ = 0;
  std::size_t joined_ = 0;
  ReservedMemory memory_;
};

// Objects of one size. T has link(), an atomic word that is free while the object is. The first
// kSkip places of each page are for the owner.
template <class T, std::uint32_t kSkip = 0>
class KvPool {
 public:
  static constexpr std::uint32_t kPerPage = KvMemory::kPageBytes / sizeof(T);
  static_assert(KvMemory::kPageBytes % sizeof(T) == 0);

  explicit KvPool(KvMemory& memory) : memory_(memory), data_(memory.data()) {}

  T& operator[](std::uint32_t id) const { return reinterpret_cast<T*>(data_)[id]; }

  // The object holds what its last use left. The owner has seen to it that there is room.
  std::uint32_t allocate() {
    if (free_ != 0) {
      const std::uint32_t id = free_;
      free_ = static_cast<std::uint32_t>((*this)[id].link().load(std::memory_order_relaxed));
      --free_count_;
      fetch(free_);
      return id;
    }
    if (next_ == end_) {
      pages_.push_back(memory_.take());
      next_ = pages_.back() * kPerPage + kSkip;
      end_ = (pages_.back() + 1) * kPerPage;
    }
    return next_++;
  }
  void release(std::uint32_t id) {
    (*this)[id].link().store(free_, std::memory_order_relaxed);
    free_ = id;
    ++free_count_;
  }

  // Every object that was ever in use, and others not yet, is id_at(i) for an i below places().
  std::uint32_t places() const { return static_cast<std::uint32_t>(pages_.size()) * kPerPage; }
  std::uint32_t id_at(std::uint32_t place) const {
    return pages_[place / kPerPage] * kPerPage + place % kPerPage;
  }
  std::uint32_t used() const {
    return static_cast<std::uint32_t>(pages_.size()) * (kPerPage - kSkip) - spare();
  }
  // Objects to be had without a new page.
  std::uint32_t spare() const { return free_count_ + (end_ - next_); }
  // Pages that so many more objects may take.
  std::uint32_t pages_for(std::uint32_t objects) const {
    constexpr std::uint32_t kUsable = kPerPage - kSkip;
    return objects <= spare() ? 0 : (objects - spare() + kUsable - 1) / kUsable;
  }

 private:
  // The next to be given out has long left the cache.
  void fetch(std::uint32_t id) const {
    if (id == 0) return;
    const auto* object = reinterpret_cast<const std::byte*>(&(*this)[id]);
    for (std::size_t line = 0; line < sizeof(T); line += 64) __builtin_prefetch(object + line, 1);
  }

  KvMemory& memory_;
  std::byte* data_;
  // From here on the writer's alone, on cache lines of their own: readers need `data_` only.
  alignas(64) std::vector<std::uint32_t> pages_;
  std::uint32_t next_ = 0;
  std::uint32_t end_ = 0;
  std::uint32_t free_ = 0;
  std::uint32_t free_count_ = 0;
};

// Blocks of 4 << k words, named by their first unit of 4 words. Free neighbours join again (a
// buddy system), so that memory full of small blocks can become room for large ones.
class KvWords {
 public:
  using Word = std::atomic<std::uint64_t>;
  static constexpr unsigned kClasses = 9;  // 4 to 1,024 words.

  explicit KvWords(KvMemory& memory) : memory_(memory), data_(memory.data()) {}

  static constexpr std::uint32_t words_of(unsigned size_class) { return 4U << size_class; }
  static constexpr unsigned class_of(std::uint32_t words) {
    unsigned size_class = 0;
    while (words_of(size_class) < words) ++size_class;
    return size_class;
  }

  Word* at(std::uint32_t ref) const {
    return reinterpret_cast<Word*>(data_) + std::size_t{ref} * 4;
  }

  std::uint32_t allocate(unsigned size_class) {
    unsigned from = size_class;
    while (from < kClasses && free_[from] == 0) ++from;
    if (from == kClasses) {
      add_page();
      from = kClasses - 1;
    }
    const std::uint32_t ref = free_[from];
    unlink(ref, from);
    while (from > size_class) {
      --from;
      link(ref + (1U << from), from);
    }
    return ref;
  }
  void release(std::uint32_t ref, unsigned size_class) {
    for (; size_class + 1 < kClasses; ++size_class) {
      const std::uint32_t buddy = ref ^ 1U << size_class;
      if (mark(buddy) != size_class + 1) break;
      unlink(buddy, size_class);
      ref &= ~(1U << size_class);
    }
    link(ref, size_class);
  }

  // Pages that so many more blocks may take.
  std::uint32_t pages_for(std::uint32_t blocks, unsigned size_class) const {
    std::uint32_t spare = 0;
    for (unsigned i = size_class; i < kClasses; ++i) spare += free_count_[i] << (i - size_class);
    // Of a page, at least its blocks of the largest size.
    const std::uint32_t each = (kUnits / kLargest - 1) << (kClasses - 1 - size_class);
    return blocks <= spare ? 0 : (blocks - spare + each - 1) / each;
  }

 private:
  static constexpr std::uint32_t kUnits = KvMemory::kPageBytes / (4 * sizeof(Word));
  static constexpr std::uint32_t kLargest = 1U << (kClasses - 1);
  static constexpr unsigned kMarksClass = 6;  // The page's first units: a byte for each unit.
  static_assert((1U << kMarksClass) * 4 * sizeof(Word) == kUnits);

  // 1 + the size class of the free block that begins here; 0: none does.
  std::uint8_t& mark(std::uint32_t ref) const {
    const std::size_t page = ref / kUnits * KvMemory::kPageBytes;
    return reinterpret_cast<std::uint8_t*>(data_ + page)[ref % kUnits];
  }
  // Free blocks are a list both ways: the next in the first word, the one before in the second.
  void link(std::uint32_t ref, unsigned size_class) {
    at(ref)[0].store(free_[size_class], std::memory_order_relaxed);
    at(ref)[1].store(0, std::memory_order_relaxed);
    if (free_[size_class] != 0) at(free_[size_class])[1].store(ref, std::memory_order_relaxed);
    free_[size_class] = ref;
    ++free_count_[size_class];
    mark(ref) = static_cast<std::uint8_t>(size_class + 1);
  }
  void unlink(std::uint32_t ref, unsigned size_class) {
    const std::uint64_t next = at(ref)[0].load(std::memory_order_relaxed);
    const std::uint64_t before = at(ref)[1].load(std::memory_order_relaxed);
    if (next != 0) {
      at(static_cast<std::uint32_t>(next))[1].store(before, std::memory_order_relaxed);
    }
    if (before != 0) {
      at(static_cast<std::uint32_t>(before))[0].store(next, std::memory_order_relaxed);
    } else {
      free_[size_class] = static_cast<std::uint32_t>(next);
    }
    --free_count_[size_class];
    mark(ref) = 0;
  }
  // Behind the marks come blocks of the sizes that lie there, then the largest.
  void add_page() {
    const std::uint32_t first = memory_.take() * kUnits;
    for (unsigned i = kMarksClass; i < kClasses - 1; ++i) link(first + (1U << i), i);
    for (std::uint32_t at = kLargest; at < kUnits; at += kLargest) link(first + at, kClasses - 1);
  }

  KvMemory& memory_;
  std::byte* data_;
  alignas(64) std::array<std::uint32_t, kClasses> free_{};  // From here on the writer's alone.
  std::array<std::uint32_t, kClasses> free_count_{};
};

}  // namespace fairlead::prefix
