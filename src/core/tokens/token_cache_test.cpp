// SPDX-License-Identifier: Apache-2.0
#include "core/tokens/token_cache.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "core/tokens/text_cuts.h"

namespace fairlead::tokens {
namespace {

// A tokenizer that obeys its rule: `<|` and `|>` marks stand alone, a text's words and the white
// space before them are a token each, and so is a line end after a word.
class WordTokenizer final : public Tokenizer {
 public:
  const CutRule& cuts() const override { return rule_; }
  const Around* around() const override { return nullptr; }
  tl::expected<void, TextFailure> append(std::string_view text,
                                         std::vector<std::uint32_t>& out) const override {
    bytes_ += text.size();
    if (text.find('\x01') != std::string_view::npos) return tl::unexpected(TextFailure::kInvalid);
    while (!text.empty()) {
      std::size_t size = 1;
      if (text.starts_with("<|a|>")) {
        size = 5;
      } else if (text[0] != '\n') {
        size = std::min(text.find_first_of("\n <", 1), text.size());
      }
      std::uint32_t token = 17;
      for (const char c : text.substr(0, size)) token = token * 31 + static_cast<unsigned char>(c);
      out.push_back(token);
      text.remove_prefix(size);
    }
    return {};
  }
  std::size_t bytes() const { return bytes_; }

 private:
  CutRule rule_{.separators = {"<|a|>"}, .lines = true};
  mutable std::size_t bytes_ = 0;
};

class Patient final : public Patience {
 public:
  Answer ask() override { return asked_++ < limit ? Answer::kGoOn : Answer::kStop; }
  std::size_t limit = 1 << 30;

 private:
  std::size_t asked_ = 0;
};

std::string random_text(Random& random) {
  static constexpr std::string_view kPieces[] = {"<|a|>", "<|", "a|>", "\n",   "word", " ",
                                                 "/",     "é",  "<|a", "\n\n", "x\ny", "|>"};
  std::string text;
  const std::uint64_t count = random.below(400);
  for (std::uint64_t i = 0; i < count; ++i) text += kPieces[random.below(std::size(kPieces))];
  return text;
}

TEST(TextCuts, ChunksEndBeforeASeparatorOrBetweenLines) {
  const TextCuts cuts({.separators = {"<|a|>"}, .lines = true}, 4);
  EXPECT_EQ(cuts.end("abc", 0), 3U);
  EXPECT_EQ(cuts.end("abcdef<|a|>", 0), 6U);
  EXPECT_EQ(cuts.end("ab<|a|>cd<|a|>", 0), 9U);  // The first is too near.
  EXPECT_EQ(cuts.end("abcde\nf<|a|>", 0), 6U);
  EXPECT_EQ(cuts.end("abcde\n/f", 0), 8U);
  EXPECT_EQ(cuts.end("abcde \nf", 0), 8U);
  EXPECT_EQ(cuts.end("abcde\n f", 0), 8U);
  EXPECT_EQ(cuts.end("abcdef<|b|>", 0), 11U);
  const TextCuts none(CutRule{}, 4);
  EXPECT_EQ(none.end("abcde\nf<|a|>", 0), 12U);
}

TEST(TextCuts, ALongerTextKeepsItsChunks) {
  Random random(3);
  const TextCuts cuts(WordTokenizer().cuts(), 16);
  for (int round = 0; round < 300; ++round) {
    const std::string text = random_text(random) + "x";
    const std::string longer = text + random_text(random);
    for (std::size_t from = 0; from < text.size();) {
      const std::size_t end = cuts.end(text, from);
      if (end == text.size()) break;
      ASSERT_EQ(cuts.end(longer, from), end);
      from = end;
    }
  }
}

// Texts that take seconds where each chunk looks at all that is behind it, or each byte at all
// separators.
TEST(TextCuts, LongTextsOfManySeparatorsAreCut) {
  CutRule rule{.separators = {"<|a|>"}, .lines = true};
  for (int i = 0; i < 250; ++i) rule.separators.push_back("<|" + std::to_string(i) + "|>");
  const TextCuts cuts(rule);
  std::string without_lines;
  while (without_lines.size() < std::size_t{8} << 20) {
    without_lines += "<|a|>";
    without_lines.append(600, 'x');
  }
  std::string nearly_separators;
  while (nearly_separators.size() < TextCuts::kChunkBytesMax) nearly_separators += "<|";
  std::size_t chunks = 0;
  for (std::size_t from = 0; from < without_lines.size(); ++chunks) {
    from = cuts.end(without_lines, from);
  }
  EXPECT_GT(chunks, 10'000U);
  EXPECT_EQ(cuts.end(nearly_separators, 0), nearly_separators.size());
}

TEST(TokenCache, CachedTokensAreThoseOfTheWholeText) {
  const WordTokenizer tokenizer;
  const TextCuts cuts(tokenizer.cuts(), 16);
  TokenCache cache(20'000, 7);
  Patient patience;
  Random random(5);
  std::string text;
  std::size_t cached = 0;
  for (int round = 0; round < 2000; ++round) {
    // Texts that grow, as conversations do, and now and then begin anew.
    if (random.below(8) == 0) text.clear();
    text += random_text(random);
    if (text.size() > 4000) text.resize(random.below(4000));
    std::vector<std::uint32_t> whole;
    std::vector<std::uint32_t> parts;
    ASSERT_TRUE(tokenizer.append(text, whole));
    const auto cost = append_tokens(tokenizer, cuts, 0, text, cache, patience, parts);
    ASSERT_TRUE(cost);
    ASSERT_EQ(parts, whole) << "round " << round;
    cached += cost->cached_bytes;
    ASSERT_LE(cache.bytes(), 20'000U);
  }
  EXPECT_GT(cached, 100'000U);
  EXPECT_GT(cache.evicted(), 100U);
}

TEST(TokenCache, ALaterTurnCostsItsNewTextOnly) {
  const WordTokenizer tokenizer;
  const TextCuts cuts(tokenizer.cuts());
  TokenCache cache(1 << 20, 7);
  Patient patience;
  std::string conversation;
  for (int turn = 0; turn < 20; ++turn) {
    for (int line = 0; line < 40; ++line) conversation += "words of turn and of line\n";
    conversation += "<|a|>";
    std::vector<std::uint32_t> out;
    ASSERT_TRUE(append_tokens(tokenizer, cuts, 0, conversation, cache, patience, out));
  }
  EXPECT_LT(tokenizer.bytes(), conversation.size() * 2);
}

TEST(TokenCache, ModelsDoNotShareTokens) {
  TokenCache cache(1 << 20, 7);
  const std::vector<std::uint32_t> tokens{1, 2, 3};
  cache.insert(1, "text", tokens);
  std::vector<std::uint32_t> out;
  EXPECT_EQ(cache.append(2, "text", out), Cached::kMissing);
  EXPECT_EQ(cache.append(1, "texts", out), Cached::kMissing);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(cache.append(1, "text", out), Cached::kAppended);
  EXPECT_EQ(out, tokens);
}

TEST(TokenCache, WhatWasNotAskedForTheLongestMakesRoom) {
  TokenCache cache(10 * (TokenCache::kEntryBytes + 2 + 4), 7);
  const std::vector<std::uint32_t> token{1};
  for (char c = 'a'; c < 'k'; ++c) cache.insert(0, std::string(2, c), token);
  EXPECT_EQ(cache.entries(), 10U);
  std::vector<std::uint32_t> out;
  EXPECT_EQ(cache.append(0, "aa", out), Cached::kAppended);
  cache.insert(0, "zz", token);
  EXPECT_EQ(cache.entries(), 10U);
  EXPECT_EQ(cache.append(0, "aa", out), Cached::kAppended);
  EXPECT_EQ(cache.append(0, "bb", out), Cached::kMissing);
  cache.insert(0, std::string(4000, 'x'), token);  // Too large to be kept.
  EXPECT_EQ(cache.entries(), 10U);
}

TEST(TokenCache, StopsBetweenChunksAndPassesFailuresOn) {
  const WordTokenizer tokenizer;
  const TextCuts cuts(tokenizer.cuts(), 8);
  TokenCache cache(1 << 20, 7);
  Patient patience;
  patience.limit = 3;
  std::string text;
  for (int i = 0; i < 10; ++i) text += "<|a|>word " + std::to_string(i);
  std::vector<std::uint32_t> out;
  const auto stopped = append_tokens(tokenizer, cuts, 0, text, cache, patience, out);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error(), TextFailure::kStopped);
  patience.limit = 1000;
  const auto failed = append_tokens(tokenizer, cuts, 0, "\x01", cache, patience, out);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), TextFailure::kInvalid);
}

TEST(TokenCache, ATextThatCannotBeCutIsNotTokenisedWhenItIsLong) {
  const WordTokenizer tokenizer;
  const TextCuts cuts(tokenizer.cuts());
  TokenCache cache(1 << 20, 7);
  Patient patience;
  const std::string separator = "<|a|>";
  const std::string text(TextCuts::kChunkBytesMax - separator.size(), ' ');
  std::vector<std::uint32_t> out;
  ASSERT_TRUE(append_tokens(tokenizer, cuts, 0, text + separator + text, cache, patience, out));
  const std::size_t before = tokenizer.bytes();
  const auto failed =
      append_tokens(tokenizer, cuts, 0, separator + text + " ", cache, patience, out);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), TextFailure::kLimit);
  EXPECT_EQ(tokenizer.bytes(), before);
}

}  // namespace
}  // namespace fairlead::tokens
