// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/token_keys.h"

#include <gtest/gtest.h>

#include <bit>
#include <numeric>
#include <set>
#include <vector>

#include "base/random.h"

namespace fairlead::prefix {
namespace {

std::vector<std::uint32_t> counted(std::size_t count) {
  std::vector<std::uint32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), 100U);
  return tokens;
}

TEST(TokenKeys, PromptKeysAreTheChainOfContents) {
  const TokenKeys keys(7);
  const auto tokens = counted(70);
  std::vector<std::uint64_t> out(10);
  const std::uint64_t root = keys.root({.model = "m"});
  ASSERT_EQ(keys.keys(root, tokens, 16, out), 4);
  std::uint64_t key = root;
  for (std::size_t i = 0; i < 4; ++i) {
    key = keys.chain(key, keys.content(std::span(tokens).subspan(i * 16, 16)));
    EXPECT_EQ(out[i], key);
  }
}

TEST(TokenKeys, EveryTokenAndTheLengthCount) {
  const TokenKeys keys(7);
  for (const std::size_t size : {1U, 2U, 3U, 7U, 8U, 15U, 16U, 17U, 32U, 528U}) {
    auto tokens = counted(size);
    std::set<std::uint64_t> seen{keys.content(tokens)};
    seen.insert(keys.content(counted(size + 1)));
    for (std::size_t i = 0; i < size; ++i) {
      ++tokens[i];
      seen.insert(keys.content(tokens));
      --tokens[i];
    }
    EXPECT_EQ(seen.size(), size + 2) << size;
  }
  EXPECT_NE(keys.content(counted(3)), keys.content(std::vector<std::uint32_t>{100, 101, 102, 0}));
}

TEST(TokenKeys, SeedNamespaceAndExtrasSeparate) {
  const TokenKeys keys(7);
  const TokenKeys others(8);
  const auto tokens = counted(16);
  const std::set<std::uint64_t> seen{
      keys.root({.model = "ab"}),
      keys.root({.model = "a", .adapter = "b"}),
      keys.root({.model = "a", .cache_salt = "b"}),
      keys.root({.model = "ab", .block_tokens = 32}),
      others.root({.model = "ab"}),
      keys.content(tokens),
      others.content(tokens),
      keys.content(tokens, keys.extra_of("image", 3, 0)),
      keys.content(tokens, keys.extra_of("image", 4, 0)),
      keys.content(tokens, keys.extra_of("imagf", 3, 0)),
      keys.content(tokens, keys.extra_of("image", 3, keys.extra_of("image", 3, 0))),
  };
  EXPECT_EQ(seen.size(), 11);
}

// Half of the bits of a key change with any bit of the tokens, the key before or the extra.
TEST(TokenKeys, EveryBitSpreads) {
  const TokenKeys keys(7);
  Random random(5);
  for (int i = 0; i < 2'000; ++i) {
    std::vector<std::uint32_t> tokens(16);
    for (auto& token : tokens) token = static_cast<std::uint32_t>(random.below(152'000));
    const std::uint64_t before = random.next();
    const std::uint64_t key = keys.chain(before, keys.content(tokens));
    tokens[random.below(16)] ^= 1U << random.below(17);
    const int changed = std::popcount(key ^ keys.chain(before, keys.content(tokens)));
    EXPECT_GT(changed, 8);
    EXPECT_LT(changed, 56);
  }
}

}  // namespace
}  // namespace fairlead::prefix
