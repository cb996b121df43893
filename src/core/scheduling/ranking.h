// SPDX-License-Identifier: Apache-2.0
// Ranking: what a picker answers, the choice and a bounded list to fall back on, in the order in
// which they should be tried: indices into the rows it was given, and rows of the table in a
// Choice. Best: the same list while a picker collects it. Values; nothing allocates.
// Thread-compatible.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/assert.h"

namespace fairlead::scheduling {

inline constexpr std::size_t kMaxFallbacks = 8;  // Behind the choice.

class Ranking {
 public:
  static constexpr std::size_t kMax = 1 + kMaxFallbacks;

  Ranking() = default;
  explicit Ranking(std::size_t choice) { push(choice); }

  void push(std::size_t index) {
    FAIRLEAD_DEBUG_ASSERT(count_ < kMax);
    rows_[count_++] = static_cast<std::uint32_t>(index);
  }
  std::size_t size() const { return count_; }
  std::span<const std::uint32_t> all() const { return {rows_.data(), count_}; }
  std::size_t choice() const { return rows_[0]; }
  std::span<const std::uint32_t> fallbacks() const { return all().subspan(1); }

 private:
  std::array<std::uint32_t, kMax> rows_{};
  std::size_t count_ = 0;
};

// Keeps the best `wanted` of the rows offered, by key and then by lot; the higher wins either.
class Best {
 public:
  explicit Best(std::size_t wanted) : wanted_(wanted) {
    FAIRLEAD_DEBUG_ASSERT(wanted >= 1 && wanted <= Ranking::kMax);
  }

  void offer(std::size_t index, double key, std::uint64_t lot) {
    const Entry entry{key, lot, index};
    if (count_ == wanted_ && !entry.beats(entries_[count_ - 1])) return;
    if (count_ < wanted_) ++count_;
    std::size_t at = count_ - 1;
    for (; at > 0 && entry.beats(entries_[at - 1]); --at) entries_[at] = entries_[at - 1];
    entries_[at] = entry;
  }

  Ranking ranking() const {
    Ranking ranking;
    for (std::size_t i = 0; i < count_; ++i) ranking.push(entries_[i].index);
    return ranking;
  }

 private:
  struct Entry {
    double key;
    std::uint64_t lot;
    std::size_t index;
    bool beats(const Entry& other) const {
      return key != other.key ? key > other.key : lot > other.lot;
    }
  };
  std::array<Entry, Ranking::kMax> entries_;  // The first count_ are set.
  std::size_t wanted_;
  std::size_t count_ = 0;
};

}  // namespace fairlead::scheduling
