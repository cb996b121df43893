// SPDX-License-Identifier: Apache-2.0
// What a generated prompt is made of. A prompt is a sequence of parts; a part is the first
// `tokens` tokens of an endless stream of words that its id alone determines, so equal ids are
// equal bytes and a shorter part is a prefix of a longer one. A token is 4 bytes: printable ASCII
// that needs no escape in JSON.
//
// The same parts serve real time (append_prompt_text) and virtual time (append_block_hashes), and
// the two agree: block keys are equal where the text up to the block's end is equal.
// Pure functions; thread-safe. Failure: none.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fairlead::load {

inline constexpr std::uint32_t kBytesPerToken = 4;

struct PromptPart {
  std::uint64_t id = 0;
  std::uint32_t tokens = 0;

  friend bool operator==(const PromptPart&, const PromptPart&) = default;
};

// An id for the n-th piece of content of one kind; distinct for distinct n, and different content
// under another seed.
std::uint64_t content_id(std::uint64_t seed, std::uint64_t kind, std::uint64_t n);

// Appends 4 bytes a token to `out`.
void append_prompt_text(std::span<const PromptPart> parts, std::string& out);

// Appends one chained key for each whole block of `block_tokens` (> 0) tokens: key i stands for
// all tokens up to the end of block i. Blocks cut across parts; a partial last block has no key.
void append_block_hashes(std::span<const PromptPart> parts, std::uint32_t block_tokens,
                         std::vector<std::uint64_t>& out);

}  // namespace fairlead::load
