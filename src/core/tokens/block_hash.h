// SPDX-License-Identifier: Apache-2.0
// Token keys: a hash for each full block of tokens, chained, so that equal hashes mean an equal
// prefix and not only an equal block. Each is XXH3-64 of the parent's hash (the chain's seed for
// the first) and the XXH3-64 of the block's ids. Errors: none. Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fairlead::tokens {

// The start of a chain: prompts share blocks only within model, adapter and salt.
std::uint64_t chain_seed(std::string_view model, std::string_view adapter, std::string_view salt);

// Appends one hash for each full block; a partial last block has none. To go on with a chain, pass
// its last hash as `seed`. `block_size` is in tokens, at least 1.
void chain_block_hashes(std::span<const std::uint32_t> tokens, std::size_t block_size,
                        std::uint64_t seed, std::vector<std::uint64_t>& out);

}  // namespace fairlead::tokens
