// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_rows.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace fairlead::prefix {
namespace {

constexpr std::uint16_t kOld = 7;
constexpr std::uint16_t kNew = 4711;

// Few bits, many, none and all.
std::vector<std::uint64_t> some_bits() {
  std::vector<std::uint64_t> bits = {0, ~std::uint64_t{0}, 1, std::uint64_t{1} << 63};
  Random random(1126);
  for (int i = 0; i < 50; ++i) bits.push_back(random.next());
  for (int i = 0; i < 50; ++i) bits.push_back(random.next() & random.next() & random.next());
  return bits;
}

// Calls write(rows, word, bits) for row counts around those of a word, and compares each row.
template <class Write>
void compare(std::uint16_t elsewhere, Write&& write) {
  for (const std::size_t count :
       {0UL, 1UL, 7UL, 8UL, 63UL, 64UL, 65UL, 71UL, 72UL, 100UL, 128UL, 200UL}) {
    for (const std::size_t word : {0UL, 1UL}) {
      for (const std::uint64_t bits : some_bits()) {
        std::vector<std::uint16_t> rows(count, kOld);
        write(std::span(rows), word, bits);
        for (std::size_t row = 0; row < count; ++row) {
          const bool is_ours = row / 64 == word;
          const bool is_set = is_ours && (bits >> row % 64 & 1) != 0;
          ASSERT_EQ(rows[row], is_set    ? kNew
                               : is_ours ? elsewhere
                                         : kOld)
              << "row " << row << " of " << count << ", word " << word << ", bits " << bits;
        }
      }
    }
  }
}

TEST(KvRows, SettingLeavesTheOthersAsTheyAre) {
  compare(kOld, [](auto rows, std::size_t word, std::uint64_t bits) {
    set_rows(rows, word, bits, kNew);
  });
}

TEST(KvRows, FillingMakesTheOthersZero) {
  compare(0, [](auto rows, std::size_t word, std::uint64_t bits) {
    fill_rows(rows, word, bits, kNew);
  });
}

}  // namespace
}  // namespace fairlead::prefix
