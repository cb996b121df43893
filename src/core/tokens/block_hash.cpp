// SPDX-License-Identifier: Apache-2.0
#include "core/tokens/block_hash.h"

#include <xxhash.h>

#include <array>

namespace fairlead::tokens {

std::uint64_t chain_seed(std::string_view model, std::string_view adapter, std::string_view salt) {
  // Chained, so that text cannot move from one part to the next unnoticed.
  std::uint64_t seed = XXH3_64bits_withSeed(model.data(), model.size(), 0);
  seed = XXH3_64bits_withSeed(adapter.data(), adapter.size(), seed);
  return XXH3_64bits_withSeed(salt.data(), salt.size(), seed);
}

void chain_block_hashes(std::span<const std::uint32_t> tokens, std::size_t block_size,
                        std::uint64_t seed, std::vector<std::uint64_t>& out) {
  const std::size_t blocks = tokens.size() / block_size;
  out.reserve(out.size() + blocks);
  std::uint64_t parent = seed;
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::uint64_t content =
        XXH3_64bits(tokens.data() + block * block_size, block_size * sizeof(std::uint32_t));
    const std::array<std::uint64_t, 2> link{parent, content};
    parent = XXH3_64bits(link.data(), sizeof(link));
    out.push_back(parent);
  }
}

}  // namespace fairlead::tokens
