// SPDX-License-Identifier: Apache-2.0
// Writes one depth into the rows that a word of bits names, eight rows at a time where they are
// many; set_rows() leaves the word's other rows as they are, fill_rows() makes them 0, which is
// cheaper than to do so beforehand. Portable vectors of the compiler: no instruction set beyond the
// baseline is needed.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace fairlead::prefix {

using KvEightRows = std::uint16_t __attribute__((vector_size(16)));

// All ones where the byte's bit is set.
inline KvEightRows rows_in(std::uint64_t byte) {
  const KvEightRows each = {1, 2, 4, 8, 16, 32, 64, 128};
  const KvEightRows bits = KvEightRows{} + static_cast<std::uint16_t>(byte & 0xff);
  return reinterpret_cast<KvEightRows>((bits & each) == each);
}

// Row 64 * word + i gets `depth` where bit i is set. Rows beyond the span are left out.
inline void set_rows(std::span<std::uint16_t> rows, std::size_t word, std::uint64_t bits,
                     std::uint16_t depth) {
  const std::size_t first = word * 64;
  if (bits == 0 || first >= rows.size()) return;
  std::uint16_t* row = rows.data() + first;
  const std::size_t count = rows.size() - first;
  if (count < 64) bits &= (std::uint64_t{1} << count) - 1;
  if (std::popcount(bits) <= 6 || count < 64) {
    for (; bits != 0; bits &= bits - 1) row[std::countr_zero(bits)] = depth;
    return;
  }
  const KvEightRows value = KvEightRows{} + depth;
  for (unsigned i = 0; i < 8; ++i, row += 8) {
    const KvEightRows wanted = rows_in(bits >> i * 8);
    KvEightRows old;
    std::memcpy(&old, row, sizeof old);
    const KvEightRows fresh = (value & wanted) | (old & ~wanted);
    std::memcpy(row, &fresh, sizeof fresh);
  }
}

// The same, and 0 where it is not.
inline void fill_rows(std::span<std::uint16_t> rows, std::size_t word, std::uint64_t bits,
                      std::uint16_t depth) {
  const std::size_t first = word * 64;
  if (first >= rows.size()) return;
  std::uint16_t* row = rows.data() + first;
  const std::size_t count = rows.size() - first;
  const KvEightRows value = KvEightRows{} + depth;
  const std::size_t whole = std::min<std::size_t>(count / 8, 8);
  for (std::size_t i = 0; i < whole; ++i, bits >>= 8, row += 8) {
    const KvEightRows fresh = value & rows_in(bits);
    std::memcpy(row, &fresh, sizeof fresh);
  }
  if (whole == 8) return;
  for (std::size_t i = 0; i < count % 8; ++i) row[i] = (bits >> i & 1) != 0 ? depth : 0;
}

}  // namespace fairlead::prefix
