// SPDX-License-Identifier: Apache-2.0
// TextCuts: cuts a text into chunks that can be tokenised, and remembered, one by one.
//
// A chunk ends at the first cut that the tokenizer's CutRule allows once it has `chunk_bytes`. Cuts
// depend on the text before them and the few bytes after them only, so a text that was made longer
// at its end keeps all its chunks but the last. Errors: none. Threads: immutable.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/tokens/tokenizer.h"

namespace fairlead::tokens {

class TextCuts {
 public:
  static constexpr std::size_t kChunkBytes = 512;
  // A longer one is not tokenised: a tokenizer takes up to some 300 bytes of memory for each of its
  // bytes, and cannot be stopped in it.
  static constexpr std::size_t kChunkBytesMax = std::size_t{1} << 20;

  explicit TextCuts(CutRule rule, std::size_t chunk_bytes = kChunkBytes);

  // Where the chunk that begins at `from` < text.size() ends. One of more than kChunkBytesMax may
  // end anywhere.
  std::size_t end(std::string_view text, std::size_t from) const;

 private:
  static std::size_t line_cut(std::string_view text, std::size_t from);
  static bool line_ends(std::string_view text, std::size_t at);
  bool separator_at(std::string_view text, std::size_t at) const;

  CutRule rule_;
  std::size_t chunk_bytes_;
  std::array<bool, 256> first_{};  // By first byte.
  std::bitset<65536> pair_;        // By the first two bytes.
};

}  // namespace fairlead::tokens
