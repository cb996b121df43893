// SPDX-License-Identifier: Apache-2.0
// Writes one depth into the rows that a word of bits names, eight rows at a time where they are
// many. Portable vectors of the compiler: no instruction set beyond the baseline is needed.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace fairlead::prefix {

// Row 64 * word + i gets `depth` where bit i is set. Rows beyond the span are left out.
inline void set_rows(std::span<std::uint16_t> rows, std::size_t word, std::uint64_t bits,
                     std::uint16_t depth) {
  using Rows = std::uint16_t __attribute__((vector_size(16)));
  const std::size_t first = word * 64;
  if (bits == 0 || first >= rows.size()) return;
  std::uint16_t* row = rows.data() + first;
  const std::size_t count = rows.size() - first;
  if (count < 64) bits &= (std::uint64_t{1} << count) - 1;
  if (std::popcount(bits) <= 6 || count < 64) {
    for (; bits != 0; bits &= bits - 1) row[std::countr_zero(bits)] = depth;
    return;
  }
  const Rows each = {1, 2, 4, 8, 16, 32, 64, 128};
  const Rows value = Rows{} + depth;
  for (unsigned i = 0; i < 8; ++i, row += 8) {
    const Rows byte = Rows{} + static_cast<std::uint16_t>(bits >> i * 8 & 0xff);
    const Rows wanted = reinterpret_cast<Rows>((byte & each) == each);
    Rows old;
    std::memcpy(&old, row, sizeof old);
    const Rows fresh = (value & wanted) | (old & ~wanted);
    std::memcpy(row, &fresh, sizeof fresh);
  }
}

}  // namespace fairlead::prefix
