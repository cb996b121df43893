// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_holders.h"

#include <algorithm>
#include <array>
#include <bit>

namespace fairlead::prefix {

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr unsigned kPartialClass = KvWords::class_of(kPartialMax / 2);
constexpr std::uint32_t kListClasses = 3;  // 16, 32 and 64 slots.

std::uint16_t slot_in(std::uint32_t partial) { return static_cast<std::uint16_t>(partial >> 16); }
std::uint32_t blocks_in(std::uint32_t partial) { return partial & 0xffff; }
std::uint32_t pack(std::uint16_t slot, std::uint32_t blocks) {
  return std::uint32_t{slot} << 16 | blocks;
}
std::uint16_t shape_of(const KvRun& run) { return run.full_shape.load(kRelaxed); }
void set_count(std::atomic<std::uint16_t>& count, std::uint32_t value) {
  count.store(static_cast<std::uint16_t>(value), kRelaxed);
}

}  // namespace

KvHolders::KvHolders(KvWords& words, std::uint32_t slots_max)
    : words_(words),
      bits_class_(KvWords::class_of((slots_max + 63) / 64)),
      bit_words_(KvWords::words_of(bits_class_)) {}

KvWords::Word* KvHolders::fulls(const KvRun& run) const {
  if (shape_of(run) == kShapeInline) return const_cast<KvWords::Word*>(run.full.data());
  return words_.at(static_cast<std::uint32_t>(run.full[0].load(kRelaxed)));
}

KvWords::Word* KvHolders::partials(const KvRun& run) const {
  const std::uint32_t ref = run.partial_ref.load(kRelaxed);
  return ref == 0 ? const_cast<KvWords::Word*>(run.partial.data()) : words_.at(ref);
}

bool KvHolders::holds_all(const KvRun& run, std::uint16_t slot) const {
  const KvWords::Word* words = fulls(run);
  if (shape_of(run) == kShapeBits) return (words[slot / 64].load(kRelaxed) >> slot % 64 & 1) != 0;
  for (std::uint32_t i = 0, n = full_count(run); i < n; ++i) {
    if (quarter_of(words, i) == slot) return true;
  }
  return false;
}

std::uint32_t KvHolders::partial(const KvRun& run, std::uint32_t i) const {
  return half_of(partials(run), i);
}

std::int32_t KvHolders::partial_index(const KvRun& run, std::uint16_t slot) const {
  for (std::uint32_t i = 0, n = partial_count(run); i < n; ++i) {
    if (slot_in(partial(run, i)) == slot) return static_cast<std::int32_t>(i);
  }
  return -1;
}

std::uint32_t KvHolders::partial_cutoff(const KvRun& run, std::uint16_t slot) const {
  const std::int32_t i = partial_index(run, slot);
  return i < 0 ? 0 : blocks_in(partial(run, static_cast<std::uint32_t>(i)));
}

std::uint32_t KvHolders::longest_partial(const KvRun& run) const {
  std::uint32_t longest = 0;
  for (std::uint32_t i = 0, n = partial_count(run); i < n; ++i) {
    longest = std::max(longest, blocks_in(partial(run, i)));
  }
  return longest;
}

std::uint32_t KvHolders::median_partial(const KvRun& run) const {
  std::array<std::uint32_t, kPartialMax> cutoffs{};
  const std::uint32_t n = partial_count(run);
  for (std::uint32_t i = 0; i < n; ++i) cutoffs[i] = blocks_in(partial(run, i));
  std::nth_element(cutoffs.begin(), cutoffs.begin() + n / 2, cutoffs.begin() + n);
  return cutoffs[n / 2];
}

std::uint16_t KvHolders::any(const KvRun& run) const {
  if (full_count(run) == 0) return slot_in(partial(run, 0));
  const KvWords::Word* words = fulls(run);
  if (shape_of(run) != kShapeBits) return quarter_of(words, 0);
  std::uint32_t i = 0;
  while (words[i].load(kRelaxed) == 0) ++i;
  return static_cast<std::uint16_t>(
      i * 64 + static_cast<unsigned>(std::countr_zero(words[i].load(kRelaxed))));
}

std::int32_t KvHolders::any_of(const KvRun& run, const std::uint64_t* marked) const {
  const auto is_marked = [marked](std::uint16_t slot) {
    return (marked[slot / 64] >> slot % 64 & 1) != 0;
  };
  for (std::uint32_t i = 0, n = partial_count(run); i < n; ++i) {
    if (is_marked(slot_in(partial(run, i)))) return slot_in(partial(run, i));
  }
  const KvWords::Word* words = fulls(run);
  if (shape_of(run) != kShapeBits) {
    for (std::uint32_t i = 0, n = full_count(run); i < n; ++i) {
      if (is_marked(quarter_of(words, i))) return quarter_of(words, i);
    }
    return -1;
  }
  for (std::uint32_t i = 0; i < bit_words_; ++i) {
    const std::uint64_t both = words[i].load(kRelaxed) & marked[i];
    if (both != 0) return static_cast<std::int32_t>(i * 64) + std::countr_zero(both);
  }
  return -1;
}

void KvHolders::list(const KvRun& run,
                     std::vector<std::pair<std::uint16_t, std::uint16_t>>& out) const {
  for (std::uint32_t i = 0, n = partial_count(run); i < n; ++i) {
    const std::uint32_t one = partial(run, i);
    out.emplace_back(slot_in(one), static_cast<std::uint16_t>(blocks_in(one)));
  }
  const std::uint16_t length = run.length.load(kRelaxed);
  const KvWords::Word* words = fulls(run);
  if (shape_of(run) != kShapeBits) {
    for (std::uint32_t i = 0, n = full_count(run); i < n; ++i) {
      out.emplace_back(static_cast<std::uint16_t>(quarter_of(words, i)), length);
    }
    return;
  }
  for (std::uint32_t i = 0; i < bit_words_; ++i) {
    for (std::uint64_t bits = words[i].load(kRelaxed); bits != 0; bits &= bits - 1) {
      const auto slot = i * 64 + static_cast<unsigned>(std::countr_zero(bits));
      out.emplace_back(static_cast<std::uint16_t>(slot), length);
    }
  }
}

std::uint32_t KvHolders::capacity(const KvRun& run) const {
  const std::uint16_t shape = shape_of(run);
  if (shape == kShapeInline) return kInlineFull;
  if (shape == kShapeBits) return bit_words_ * 64;
  return KvWords::words_of(shape - kShapeList) * 4;
}

void KvHolders::reserve_full(KvRun& run) { reserve_fulls(run, full_count(run) + 1); }

void KvHolders::reserve_fulls(KvRun& run, std::uint32_t total) {
  if (total <= capacity(run)) return;
  unsigned size_class = KvWords::class_of((total + 3) / 4);
  const bool bits = size_class >= std::min(kListClasses, bits_class_);
  if (bits) size_class = bits_class_;
  const std::uint32_t ref = words_.allocate(size_class);
  KvWords::Word* to = words_.at(ref);
  for (std::uint32_t i = 0; i < KvWords::words_of(size_class); ++i) to[i].store(0, kRelaxed);
  const KvWords::Word* from = fulls(run);
  // A list never follows bits, so `from` is a list.
  for (std::uint32_t i = 0, n = full_count(run); i < n; ++i) {
    const std::uint16_t slot = quarter_of(from, i);
    if (bits) {
      to[slot / 64].store(to[slot / 64].load(kRelaxed) | std::uint64_t{1} << slot % 64, kRelaxed);
    } else {
      set_quarter(to, i, slot);
    }
  }
  const KvWriteSection section(run);
  const std::uint32_t count = full_count(run);
  release_full(run);
  set_count(run.full_count, count);
  run.full[0].store(ref, kRelaxed);
  run.full_shape.store(bits ? kShapeBits : static_cast<std::uint16_t>(kShapeList + size_class),
                       kRelaxed);
}

void KvHolders::reserve_partial(KvRun& run) {
  if (run.partial_ref.load(kRelaxed) != 0 || partial_count(run) < kInlinePartial) return;
  const std::uint32_t ref = words_.allocate(kPartialClass);
  for (std::uint32_t i = 0; i < kInlinePartial; ++i) set_half(words_.at(ref), i, partial(run, i));
  const KvWriteSection section(run);
  run.partial_ref.store(ref, kRelaxed);
}

void KvHolders::release_full(KvRun& run) {
  const std::uint16_t shape = shape_of(run);
  if (shape != kShapeInline) {
    words_.release(static_cast<std::uint32_t>(run.full[0].load(kRelaxed)),
                   shape == kShapeBits ? bits_class_ : shape - kShapeList);
  }
  run.full_shape.store(kShapeInline, kRelaxed);
  set_count(run.full_count, 0);
}

void KvHolders::add_full(KvRun& run, std::uint16_t slot) {
  KvWords::Word* words = fulls(run);
  const std::uint32_t count = full_count(run);
  if (shape_of(run) == kShapeBits) {
    words[slot / 64].store(words[slot / 64].load(kRelaxed) | std::uint64_t{1} << slot % 64,
                           kRelaxed);
  } else {
    set_quarter(words, count, slot);
  }
  set_count(run.full_count, count + 1);
}

void KvHolders::remove_full(KvRun& run, std::uint16_t slot) {
  KvWords::Word* words = fulls(run);
  const std::uint32_t count = full_count(run) - 1;
  set_count(run.full_count, count);
  if (shape_of(run) == kShapeBits) {
    words[slot / 64].store(words[slot / 64].load(kRelaxed) & ~(std::uint64_t{1} << slot % 64),
                           kRelaxed);
    if (count > kInlineFull / 2) return;
    std::array<std::uint16_t, kInlineFull> left{};
    std::uint32_t n = 0;
    for (std::uint32_t i = 0; i < bit_words_; ++i) {
      for (std::uint64_t word = words[i].load(kRelaxed); word != 0; word &= word - 1) {
        left[n++] =
            static_cast<std::uint16_t>(i * 64 + static_cast<unsigned>(std::countr_zero(word)));
      }
    }
    release_full(run);
    for (std::uint32_t i = 0; i < n; ++i) add_full(run, left[i]);
    return;
  }
  std::uint32_t i = 0;
  while (quarter_of(words, i) != slot) ++i;
  set_quarter(words, i, quarter_of(words, count));
  if (shape_of(run) == kShapeInline || count > kInlineFull / 2) return;
  const std::uint64_t first = words[0].load(kRelaxed);
  release_full(run);
  run.full[0].store(first, kRelaxed);
  set_count(run.full_count, count);
}

void KvHolders::add_partial(KvRun& run, std::uint16_t slot, std::uint32_t blocks) {
  const std::uint32_t count = partial_count(run);
  set_half(partials(run), count, pack(slot, blocks));
  set_count(run.partial_count, count + 1);
}

void KvHolders::set_partial(KvRun& run, std::uint16_t slot, std::uint32_t blocks) {
  set_half(partials(run), static_cast<std::uint32_t>(partial_index(run, slot)), pack(slot, blocks));
}

void KvHolders::remove_partial(KvRun& run, std::uint16_t slot) {
  KvWords::Word* words = partials(run);
  const std::uint32_t count = partial_count(run) - 1;
  set_half(words, static_cast<std::uint32_t>(partial_index(run, slot)), half_of(words, count));
  set_count(run.partial_count, count);
  const std::uint32_t ref = run.partial_ref.load(kRelaxed);
  if (ref == 0 || count > kInlinePartial / 2) return;
  run.partial[0].store(words[0].load(kRelaxed), kRelaxed);
  run.partial_ref.store(0, kRelaxed);
  words_.release(ref, kPartialClass);
}

void KvHolders::copy_tail(const KvRun& run, std::uint32_t at, KvRun& tail) {
  clear(tail);
  const std::uint32_t full = full_count(run);
  reserve_fulls(tail, full);
  if (partial_count(run) > kInlinePartial) {
    tail.partial_ref.store(words_.allocate(kPartialClass), kRelaxed);
  }
  const KvWords::Word* words = fulls(run);
  if (shape_of(run) != kShapeBits) {
    for (std::uint32_t i = 0; i < full; ++i) add_full(tail, quarter_of(words, i));
  } else {
    for (std::uint32_t i = 0; i < bit_words_; ++i) {
      for (std::uint64_t word = words[i].load(kRelaxed); word != 0; word &= word - 1) {
        add_full(tail, static_cast<std::uint16_t>(i * 64 +
                                                  static_cast<unsigned>(std::countr_zero(word))));
      }
    }
  }
  for (std::uint32_t i = 0, n = partial_count(run); i < n; ++i) {
    const std::uint32_t entry = partial(run, i);
    if (blocks_in(entry) > at) add_partial(tail, slot_in(entry), blocks_in(entry) - at);
  }
}

void KvHolders::reserve_cut(KvRun& run, std::uint32_t length) {
  std::uint32_t total = full_count(run);
  for (std::uint32_t i = 0, n = partial_count(run); i < n; ++i) {
    if (blocks_in(partial(run, i)) >= length) ++total;
  }
  reserve_fulls(run, total);
}

void KvHolders::cut(KvRun& run, std::uint32_t length) {
  for (std::uint32_t i = 0; i < partial_count(run);) {
    const std::uint32_t entry = partial(run, i);
    if (blocks_in(entry) < length) {
      ++i;
      continue;
    }
    remove_partial(run, slot_in(entry));
    add_full(run, slot_in(entry));
  }
}

void KvHolders::clear(KvRun& run) {
  release_full(run);
  const std::uint32_t ref = run.partial_ref.load(kRelaxed);
  if (ref != 0) words_.release(ref, kPartialClass);
  run.partial_ref.store(0, kRelaxed);
  set_count(run.partial_count, 0);
}

}  // namespace fairlead::prefix
