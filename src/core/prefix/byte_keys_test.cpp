// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/byte_keys.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"

namespace fairlead::prefix {
namespace {

using KeyList = std::vector<std::uint64_t>;

KeyList keys_of(const std::vector<Span>& spans, std::size_t block, std::uint64_t seed = 1) {
  KeyList out;
  byte_keys(spans, block, seed, out);
  return out;
}

std::string random_bytes(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random.below(256));
  return out;
}

std::size_t common_prefix(const KeyList& a, const KeyList& b) {
  const auto [end, ignored] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(end - a.begin());
}

TEST(ByteKeys, OnlyWholeBlocksHaveKeys) {
  const std::string text = random_bytes(5000, 1);
  const std::string_view view = text;
  KeyList out;
  EXPECT_EQ(byte_keys(std::vector<Span>{{view}}, 1024, 1, out), 5000U);
  EXPECT_EQ(out.size(), 4U);
  EXPECT_EQ(byte_keys(std::vector<Span>{{view.substr(0, 1023)}}, 1024, 1, out), 1023U);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(keys_of({{view.substr(0, 1024)}}, 1024).size(), 1U);
  EXPECT_EQ(byte_keys({}, 1024, 1, out), 0U);
}

TEST(ByteKeys, AKeyCommitsToEveryByteBeforeIt) {
  std::string text = random_bytes(8 * 64, 2);
  const KeyList before = keys_of({{text}}, 64);
  for (std::size_t at = 0; at < text.size(); ++at) {
    text[at] = static_cast<char>(text[at] ^ 1);
    const KeyList after = keys_of({{text}}, 64);
    EXPECT_EQ(common_prefix(before, after), at / 64);
    for (std::size_t i = at / 64; i < 8; ++i) ASSERT_NE(before[i], after[i]);
    text[at] = static_cast<char>(text[at] ^ 1);
  }
}

TEST(ByteKeys, EqualBlocksAtOtherPlacesHaveOtherKeys) {
  const std::string text(100 * 64, 'a');
  const KeyList keys = keys_of({{text}}, 64);
  EXPECT_EQ(std::set<std::uint64_t>(keys.begin(), keys.end()).size(), 100U);
}

TEST(ByteKeys, DistinguishRolesAndMessageBoundaries) {
  const std::string text = random_bytes(256, 3);
  const std::string_view view = text;
  const KeyList one = keys_of({{view, 1}}, 128);
  EXPECT_EQ(common_prefix(one, keys_of({{view, 2}}, 128)), 0U);
  // The same bytes, cut inside the second block.
  const KeyList cut = keys_of({{view.substr(0, 200), 1}, {view.substr(200), 1}}, 128);
  EXPECT_EQ(common_prefix(one, cut), 1U);
  const KeyList elsewhere = keys_of({{view.substr(0, 201), 1}, {view.substr(201), 1}}, 128);
  EXPECT_EQ(common_prefix(cut, elsewhere), 1U);
  const KeyList other_role = keys_of({{view.substr(0, 200), 1}, {view.substr(200), 2}}, 128);
  EXPECT_EQ(common_prefix(cut, other_role), 1U);
  // A boundary on the edge of a block belongs to the block behind it.
  const KeyList edge = keys_of({{view.substr(0, 128), 1}, {view.substr(128), 1}}, 128);
  EXPECT_EQ(common_prefix(one, edge), 1U);
  // An empty message is a message.
  const KeyList empty = keys_of({{view.substr(0, 128), 1}, {{}, 2}, {view.substr(128), 1}}, 128);
  EXPECT_EQ(common_prefix(edge, empty), 1U);
  EXPECT_NE(edge[1], empty[1]);
}

TEST(ByteKeys, AGrowingChatKeepsItsKeys) {
  const std::string text = random_bytes(4000, 4);
  const std::string_view view = text;
  std::vector<Span> spans{{view.substr(0, 900), 1}, {view.substr(900, 300), 2}};
  const KeyList first = keys_of(spans, 64);
  spans.push_back({view.substr(1200, 77), 3});
  spans.push_back({view.substr(1277), 2});
  const KeyList second = keys_of(spans, 64);
  EXPECT_EQ(common_prefix(first, second), first.size());
}

TEST(ByteKeys, SeedsSeparateModelsAdaptersAndSalts) {
  const std::string text = random_bytes(1024, 5);
  std::set<std::uint64_t> seeds{seed_for(7, "m", "", ""),  seed_for(8, "m", "", ""),
                                seed_for(7, "m", "a", ""), seed_for(7, "m", "", "a"),
                                seed_for(7, "ma", "", ""), seed_for(7, "", "ma", "")};
  EXPECT_EQ(seeds.size(), 6U);
  EXPECT_EQ(seed_for(7, "m", "a", "s"), seed_for(7, "m", "a", "s"));
  std::set<std::uint64_t> keys;
  for (const std::uint64_t seed : seeds) keys.insert(keys_of({{text}}, 1024, seed)[0]);
  EXPECT_EQ(keys.size(), 6U);
}

// Wherever blocks lie, in one span or across many, the content's share of the key is the same; a
// twin that copies everything into one buffer and carries the marks beside it must agree.
TEST(ByteKeys, SharedPrefixOfSpanListsIsExactlyTheSharedKeys) {
  const std::string text = random_bytes(6000, 6);
  EXPECT_TRUE(rc::check([&] {
    const auto random_spans = [&] {
      std::vector<Span> spans;
      std::size_t at = 0;
      const int count = *rc::gen::inRange(1, 9);
      for (int i = 0; i < count; ++i) {
        const auto size = *rc::gen::inRange<std::size_t>(0, 600);
        spans.push_back({std::string_view(text).substr(at, size),
                         static_cast<std::uint32_t>(*rc::gen::inRange(0, 3))});
        at += size;
      }
      return spans;
    };
    std::vector<Span> a = random_spans();
    std::vector<Span> b = random_spans();
    const auto shared = *rc::gen::inRange<std::size_t>(0, a.size() + 1);
    b.insert(b.begin(), a.begin(), a.begin() + static_cast<std::ptrdiff_t>(shared));
    // The naive truth: a block is equal when bytes and marks up to its end are.
    const auto marks = [](const std::vector<Span>& spans) {
      std::string bytes;
      std::vector<std::pair<std::size_t, std::uint32_t>> starts;
      for (const Span& span : spans) {
        starts.emplace_back(bytes.size(), span.tag);
        bytes += span.bytes;
      }
      return std::pair(bytes, starts);
    };
    const auto [bytes_a, starts_a] = marks(a);
    const auto [bytes_b, starts_b] = marks(b);
    const auto before = [](const auto& starts, std::size_t end) {
      auto out = starts;
      std::erase_if(out, [&](const auto& start) { return start.first >= end; });
      return out;
    };
    const std::size_t most = std::min(bytes_a.size(), bytes_b.size()) / 64;
    std::size_t expected = 0;
    while (expected < most) {
      const std::size_t end = (expected + 1) * 64;
      if (bytes_a.compare(0, end, bytes_b, 0, end) != 0) break;
      if (before(starts_a, end) != before(starts_b, end)) break;
      ++expected;
    }
    RC_ASSERT(common_prefix(keys_of(a, 64), keys_of(b, 64)) == expected);
  }));
}

TEST(ByteKeys, SpreadOverAllBits) {
  const std::string text = random_bytes(64 * 4096, 7);
  const KeyList keys = keys_of({{text}}, 64);
  for (int bit = 0; bit < 64; ++bit) {
    const auto ones = std::count_if(keys.begin(), keys.end(),
                                    [&](std::uint64_t key) { return (key >> bit & 1) != 0; });
    EXPECT_NEAR(static_cast<double>(ones), 2048.0, 250.0) << "bit " << bit;
  }
}

}  // namespace
}  // namespace fairlead::prefix
