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

// Two streams of 80 bits and more are never equal by chance, so a long piece is hashed by its
// identity; shorter ones could be, and are hashed word by word.
constexpr std::uint32_t kShortPiece = 8;

std::uint64_t fold(std::uint64_t key, std::uint64_t value) { return mix64(mix64(key) ^ value); }

std::uint64_t fold_piece(std::uint64_t key, std::uint64_t id, std::uint32_t from,
                         std::uint32_t tokens) {
  if (tokens >= kShortPiece) {
    const std::uint64_t place = (std::uint64_t{from} << 32) | tokens;
    return fold(fold(key, id), place);
  }
  for (std::uint32_t token = from; token < from + tokens; ++token) {
    key = fold(key, word_at(id, token));
  }
  return key;
}

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
  std::uint32_t room = block_tokens;
  for (const PromptPart& part : parts) {
    std::uint32_t from = 0;
    while (from < part.tokens) {
      const std::uint32_t piece = std::min(room, part.tokens - from);
      key = fold_piece(key, part.id, from, piece);
      from += piece;
      room -= piece;
      if (room == 0) {
        out.push_back(key);
        room = block_tokens;
      }
    }
  }
}

}  // namespace fairlead::load
