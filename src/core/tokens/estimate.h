// SPDX-License-Identifier: Apache-2.0
// The estimate tokenizer: four bytes are a token. It needs no vocabulary, and it is exact for the
// simulated engines, which use it too.
//
// A chat is one role token, the content chunked from its own start, and an end token for each
// message; so an answer of n whole tokens, sent back in the next turn, is the same n tokens.
// A token's id is its bytes, little-endian, padded with 0xFF, which is not in UTF-8; ids
// whose first byte is 0xFF are special. Errors: none. Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace fairlead::tokens {

inline constexpr std::size_t kBytesPerToken = 4;

constexpr std::size_t estimate_tokens(std::size_t bytes) {
  return bytes / kBytesPerToken + (bytes % kBytesPerToken != 0 ? 1 : 0);
}

void append_text_tokens(std::string_view text, std::vector<std::uint32_t>& out);

// The one token that opens a message of this role; alone, it asks for the assistant's answer.
void append_role_token(std::string_view role, std::vector<std::uint32_t>& out);
void append_end_token(std::vector<std::uint32_t>& out);
// role token, content, end token: estimate_tokens(content.size()) + 2 tokens.
void append_message_tokens(std::string_view role, std::string_view content,
                           std::vector<std::uint32_t>& out);

}  // namespace fairlead::tokens
