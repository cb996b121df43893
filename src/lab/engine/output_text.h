// SPDX-License-Identifier: Apache-2.0
// OutputText: what a simulated engine says. Every token is a space and a word of three letters:
// four bytes, so that the estimate tokenizer reads a whole answer back as the same tokens, and no
// byte that JSON would escape. A token follows from the answer's seed and its position alone, so
// an answer need not be kept while it streams. Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fairlead::engine {

// Tokens [begin, begin + count) of the answer with this seed.
void append_output_text(std::string& out, std::uint64_t seed, std::uint32_t begin,
                        std::uint32_t count);
void append_output_tokens(std::vector<std::uint32_t>& out, std::uint64_t seed, std::uint32_t begin,
                          std::uint32_t count);

}  // namespace fairlead::engine
