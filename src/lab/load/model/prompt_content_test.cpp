// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/prompt_content.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <string_view>

namespace fairlead::load {
namespace {

std::string text_of(std::span<const PromptPart> parts) {
  std::string text;
  append_prompt_text(parts, text);
  return text;
}

std::vector<std::uint64_t> keys_of(std::span<const PromptPart> parts, std::uint32_t block) {
  std::vector<std::uint64_t> keys;
  append_block_hashes(parts, block, keys);
  return keys;
}

std::uint64_t total_tokens(std::span<const PromptPart> parts) {
  std::uint64_t total = 0;
  for (const PromptPart& part : parts) total += part.tokens;
  return total;
}

// Few ids and short parts, so that equal prefixes and odd cuts are common.
std::vector<PromptPart> any_prompt() {
  const auto count = *rc::gen::inRange(0, 7);
  std::vector<PromptPart> parts;
  for (int i = 0; i < count; ++i) {
    const auto id = static_cast<std::uint64_t>(*rc::gen::inRange(0, 3));
    const auto tokens = static_cast<std::uint32_t>(*rc::gen::oneOf(
        rc::gen::inRange(0, 5), rc::gen::inRange(0, 200), rc::gen::element(16, 48, 64, 128)));
    parts.push_back({content_id(1, 2, id), tokens});
  }
  return parts;
}

RC_GTEST_PROP(PromptContent, KeysAreEqualExactlyWhereTheTextIs, ()) {
  const std::vector<PromptPart> a = any_prompt();
  std::vector<PromptPart> b = any_prompt();
  // Half of the time the two share their beginning.
  if (*rc::gen::arbitrary<bool>()) {
    const auto keep = static_cast<std::ptrdiff_t>(*rc::gen::inRange<std::size_t>(0, a.size() + 1));
    b.insert(b.begin(), a.begin(), a.begin() + keep);
  }
  const auto block = static_cast<std::uint32_t>(*rc::gen::element(1, 3, 16, 64, 256));
  const std::string text_a = text_of(a);
  const std::string text_b = text_of(b);
  const auto keys_a = keys_of(a, block);
  const auto keys_b = keys_of(b, block);
  RC_ASSERT(text_a.size() == total_tokens(a) * kBytesPerToken);
  RC_ASSERT(keys_a.size() == total_tokens(a) / block);
  for (std::size_t i = 0; i < std::min(keys_a.size(), keys_b.size()); ++i) {
    const std::size_t bytes = (i + 1) * block * kBytesPerToken;
    const bool same_text =
        std::string_view(text_a).substr(0, bytes) == std::string_view(text_b).substr(0, bytes);
    RC_ASSERT((keys_a[i] == keys_b[i]) == same_text);
  }
}

TEST(PromptContent, EqualIdsAreEqualBytesAndShorterPartsArePrefixes) {
  const std::string longer = text_of(std::vector<PromptPart>{{42, 1000}});
  const std::string shorter = text_of(std::vector<PromptPart>{{42, 333}});
  EXPECT_EQ(longer.substr(0, shorter.size()), shorter);
  EXPECT_NE(text_of(std::vector<PromptPart>{{43, 333}}), shorter);
}

TEST(PromptContent, TextNeedsNoEscapeInJson) {
  const std::string text = text_of(std::vector<PromptPart>{{1, 5000}, {2, 77}});
  EXPECT_TRUE(std::all_of(text.begin(), text.end(),
                          [](char c) { return (c >= 'a' && c <= 'z') || c == ' '; }));
}

TEST(PromptContent, ShortPiecesAreKeyedByTheirWords) {
  // Two ids whose first words agree, found by search: their one-token blocks must agree too.
  const std::string first = text_of(std::vector<PromptPart>{{content_id(1, 1, 0), 1}});
  std::uint64_t other = 1;
  while (text_of(std::vector<PromptPart>{{content_id(1, 1, other), 1}}) != first) ++other;
  EXPECT_EQ(keys_of(std::vector<PromptPart>{{content_id(1, 1, 0), 1}}, 1),
            keys_of(std::vector<PromptPart>{{content_id(1, 1, other), 1}}, 1));
  EXPECT_NE(keys_of(std::vector<PromptPart>{{content_id(1, 1, 0), 64}}, 64),
            keys_of(std::vector<PromptPart>{{content_id(1, 1, other), 64}}, 64));
}

TEST(PromptContent, APartThatGoesOnLikeAnotherByChanceGivesTheSameKey) {
  const std::string whole = text_of(std::vector<PromptPart>{{9, 16}});
  std::vector<PromptPart> cut = {{9, 15}, {content_id(1, 1, 0), 1}};
  for (std::uint64_t n = 1; text_of(cut) != whole; ++n) cut[1].id = content_id(1, 1, n);
  EXPECT_EQ(keys_of(cut, 16), keys_of(std::vector<PromptPart>{{9, 16}}, 16));
}

TEST(PromptContent, APlaceInAPartIsPartOfTheKey) {
  // The second block holds words 64..127 of the stream in one prompt and 0..63 in the other.
  const auto once = keys_of(std::vector<PromptPart>{{9, 128}}, 64);
  const auto twice = keys_of(std::vector<PromptPart>{{9, 64}, {9, 64}}, 64);
  EXPECT_EQ(once[0], twice[0]);
  EXPECT_NE(once[1], twice[1]);
}

TEST(PromptContent, KeysAreTheSameOnEveryPlatform) {
  EXPECT_EQ(text_of(std::vector<PromptPart>{{7, 4}}), "len gaf gem dey ");
  EXPECT_EQ(keys_of(std::vector<PromptPart>{{7, 64}}, 64).at(0), 10227321901345326388u);
}

}  // namespace
}  // namespace fairlead::load
