// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/prompt_content.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "base/assert.h"
#include "base/random.h"

namespace fairlead::load {
namespace {

constexpr std::string_view kOnsets = "bdfghjklmnprstvz";
constexpr std::string_view kVowels = "aeio";
constexpr std::string_view kCodas = "bdfgklmnprstvxyz";
constexpr std::size_t kWords = 1024;

using Word = std::array<char, kBytesPerToken>;

constexpr std::array<Word, kWords> make_words() {
  std::array<Word, kWords> words{};
  for (std::size_t i = 0; i < kWords; ++i) {
    words[i] = {kOnsets[i & 15], kVowels[(i >> 4) & 3], kCodas[i >> 6], ' '};
  }
  return words;
}
constexpr std::array<Word, kWords> kWordTable = make_words();

// One 64-bit draw gives six words of ten bits.
constexpr std::uint32_t kWordsPerDraw = 6;

std::uint64_t draw(std::uint64_t id, std::uint64_t index) { return mix64(id + index); }

std::uint32_t word_at(std::uint64_t id, std::uint32_t token) {
  const std::uint64_t bits = draw(id, token / kWordsPerDraw);
  return static_cast<std::uint32_t>(bits >> (10 * (token % kWordsPerDraw))) & (kWords - 1);
}

char* write_part(const PromptPart& part, char* to) {
  const std::uint32_t whole = part.tokens / kWordsPerDraw;
  for (std::uint32_t i = 0; i < whole; ++i) {
    std::uint64_t bits = draw(part.id, i);
    for (std::uint32_t k = 0; k < kWordsPerDraw; ++k, bits >>= 10, to += kBytesPerToken) {
      std::memcpy(to, kWordTable[bits & (kWords - 1)].data(), kBytesPerToken);
    }
  }
  for (std::uint32_t token = whole * kWordsPerDraw; token < part.tokens; ++token) {
    std::memcpy(to, kWordTable[word_at(part.id, token)].data(), kBytesPerToken);
    to += kBytesPerToken;
  }
  return to;
}

constexpr std::uint32_t kWordBits = 10;
constexpr std::uint64_t first_words(std::uint32_t n) {
  return (std::uint64_t{1} << (kWordBits * n)) - 1;
}

// The words of one block, six at a time as the digits of a number modulo 2^64. Counted from the
// block's begin, so where parts are cut does not show: a part may continue another's words by
// chance (one first word in 1,024 does).
class BlockWords {
 public:
  // `words` holds `n` (1..6) words from its lowest bits on, and zeros.
  void add(std::uint64_t words, std::uint32_t n) {
    const std::uint64_t six = (pending_ | (words << (kWordBits * count_))) & first_words(6);
    if (count_ + n < kWordsPerDraw) {
      pending_ = six;
      count_ += n;
      return;
    }
    sum_ = sum_ * kRadix + six;
    pending_ = words >> (kWordBits * (kWordsPerDraw - count_));
    count_ = count_ + n - kWordsPerDraw;
  }

  // Words [from, end) of one stream.
  void add(std::uint64_t id, std::uint32_t from, std::uint32_t end) {
    while (from < end) {
      const std::uint32_t skip = from % kWordsPerDraw;
      const std::uint32_t n = std::min(kWordsPerDraw - skip, end - from);
      add((draw(id, from / kWordsPerDraw) >> (kWordBits * skip)) & first_words(n), n);
      from += n;
    }
  }

  // The block as one number, and an empty block.
  std::uint64_t take() {
    const std::uint64_t number = sum_ * kRadix + pending_;
    *this = {};
    return number;
  }

 private:
  static constexpr std::uint64_t kRadix = 0x9e3779b97f4a7c15;  // odd, so that no digit is lost

  std::uint64_t sum_ = 0;
  std::uint64_t pending_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace

std::uint64_t content_id(std::uint64_t seed, std::uint64_t kind, std::uint64_t n) {
  // A bijection of n, so that ids of one kind never meet.
  return mix64(mix64(mix64(seed) ^ kind) ^ n);
}

void append_prompt_text(std::span<const PromptPart> parts, std::string& out) {
  std::size_t bytes = 0;
  for (const PromptPart& part : parts) bytes += std::size_t{part.tokens} * kBytesPerToken;
  const std::size_t before = out.size();
  out.resize(before + bytes);
  char* to = out.data() + before;
  for (const PromptPart& part : parts) to = write_part(part, to);
}

void append_block_hashes(std::span<const PromptPart> parts, std::uint32_t block_tokens,
                         std::vector<std::uint64_t>& out) {
  FAIRLEAD_ASSERT(block_tokens > 0);
  std::uint64_t key = 0;
  BlockWords words;
  std::uint32_t room = block_tokens;
  for (const PromptPart& part : parts) {
    std::uint32_t from = 0;
    while (from < part.tokens) {
      const std::uint32_t piece = std::min(room, part.tokens - from);
      words.add(part.id, from, from + piece);
      from += piece;
      room -= piece;
      if (room == 0) {
        key = mix64(mix64(key) ^ words.take());
        out.push_back(key);
        room = block_tokens;
      }
    }
  }
}

}  // namespace fairlead::load
