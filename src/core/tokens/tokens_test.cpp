// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/random.h"
#include "core/tokens/block_hash.h"
#include "core/tokens/estimate.h"

namespace fairlead::tokens {
namespace {

using Tokens = std::vector<std::uint32_t>;
using Hashes = std::vector<std::uint64_t>;

Tokens text_tokens(std::string_view text) {
  Tokens tokens;
  append_text_tokens(text, tokens);
  return tokens;
}

TEST(Estimate, FourBytesAreOneTokenAndTheLastMayBePartial) {
  EXPECT_EQ(estimate_tokens(0), 0U);
  EXPECT_EQ(estimate_tokens(1), 1U);
  EXPECT_EQ(estimate_tokens(4), 1U);
  EXPECT_EQ(estimate_tokens(5), 2U);
  for (std::size_t size = 0; size < 20; ++size) {
    EXPECT_EQ(text_tokens(std::string(size, 'x')).size(), estimate_tokens(size));
  }
}

TEST(Estimate, IdsAreTheBytesLittleEndian) {
  EXPECT_EQ(text_tokens("abcdef"), (Tokens{0x64636261, 0xFFFF6665}));
}

TEST(Estimate, PartialTokensAndSpecialTokensAreUnlikeText) {
  EXPECT_NE(text_tokens("ab"), text_tokens(std::string_view("ab\0\0", 4)));
  std::set<std::uint32_t> special;
  Tokens tokens;
  for (const char* role : {"system", "user", "assistant", "tool"}) append_role_token(role, tokens);
  append_end_token(tokens);
  for (const std::uint32_t token : tokens) {
    EXPECT_EQ(token & 0xFF, 0xFFU);  // No text in UTF-8 begins so.
    special.insert(token);
  }
  EXPECT_EQ(special.size(), 5U);
}

TEST(Estimate, AnAnswerSentBackIsTheTokensThatWereGenerated) {
  Random random(7);
  for (int round = 0; round < 50; ++round) {
    const std::string question(random.below(40), 'q');
    const std::string answer(4 * (1 + random.below(40)), 'a');
    Tokens generated;
    append_message_tokens("user", question, generated);
    append_role_token("assistant", generated);
    append_text_tokens(answer, generated);

    Tokens next_turn;
    append_message_tokens("user", question, next_turn);
    append_message_tokens("assistant", answer, next_turn);
    append_message_tokens("user", "and then?", next_turn);
    ASSERT_GE(next_turn.size(), generated.size());
    EXPECT_TRUE(std::equal(generated.begin(), generated.end(), next_turn.begin()));
  }
}

TEST(Estimate, AMessageIsItsContentAndTwoTokens) {
  Tokens tokens;
  append_message_tokens("user", "hello", tokens);
  EXPECT_EQ(tokens.size(), estimate_tokens(5) + 2);
}

Hashes chain(const Tokens& tokens, std::size_t block_size, std::uint64_t seed = 1) {
  Hashes hashes;
  chain_block_hashes(tokens, block_size, seed, hashes);
  return hashes;
}

TEST(BlockHash, OnlyFullBlocksHaveOne) {
  EXPECT_EQ(chain(Tokens(15, 1), 16).size(), 0U);
  EXPECT_EQ(chain(Tokens(16, 1), 16).size(), 1U);
  EXPECT_EQ(chain(Tokens(47, 1), 16).size(), 2U);
}

TEST(BlockHash, EqualPrefixesShareHashesUpToTheBlockThatDiffers) {
  Tokens a(64);
  for (std::uint32_t i = 0; i < 64; ++i) a[i] = i;
  Tokens b = a;
  b[20] = 999;
  const Hashes ha = chain(a, 16);
  const Hashes hb = chain(b, 16);
  EXPECT_EQ(ha[0], hb[0]);
  // Blocks 2 and 3 hold equal tokens, but not an equal prefix.
  for (std::size_t i = 1; i < 4; ++i) EXPECT_NE(ha[i], hb[i]);
}

TEST(BlockHash, EqualBlocksInOneChainDiffer) {
  const Hashes hashes = chain(Tokens(64, 5), 16);
  EXPECT_EQ(std::set(hashes.begin(), hashes.end()).size(), 4U);
}

TEST(BlockHash, AChainCanBeContinuedFromItsLastHash) {
  Tokens tokens(160);
  for (std::uint32_t i = 0; i < 160; ++i) tokens[i] = i * 7;
  const Hashes whole = chain(tokens, 16);
  Hashes parts;
  const std::span<const std::uint32_t> all(tokens);
  chain_block_hashes(all.first(64), 16, 1, parts);
  chain_block_hashes(all.subspan(64), 16, parts.back(), parts);
  EXPECT_EQ(parts, whole);
}

TEST(BlockHash, SeedsSeparateModelAdapterAndSalt) {
  const std::set<std::uint64_t> seeds{chain_seed("m", "", ""),  chain_seed("m", "a", ""),
                                      chain_seed("m", "", "a"), chain_seed("ma", "", ""),
                                      chain_seed("", "ma", ""), chain_seed("", "m", "a")};
  EXPECT_EQ(seeds.size(), 6U);
  EXPECT_NE(chain(Tokens(16, 1), 16, chain_seed("m", "", "")),
            chain(Tokens(16, 1), 16, chain_seed("n", "", "")));
}

}  // namespace
}  // namespace fairlead::tokens
