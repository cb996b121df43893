// SPDX-License-Identifier: Apache-2.0
#include "core/replication/placement_batch.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <string>
#include <vector>

namespace fairlead::replication {
namespace {

using Keys = std::vector<std::uint64_t>;

constexpr BatchHead kHead{7, 3, 1024};

std::string batch_of(const std::vector<std::pair<std::uint64_t, Keys>>& placements) {
  PlacementWriter writer;
  for (const auto& [endpoint, keys] : placements) EXPECT_TRUE(writer.add({endpoint, keys}));
  return writer.finish(kHead);
}

TEST(PlacementBatch, ReadsBackWhatWasWritten) {
  const Keys a{1, 2, 3};
  const Keys b{~std::uint64_t{0}};
  const std::string bytes = batch_of({{11, a}, {12, {}}, {11, b}});
  PlacementReader reader;
  ASSERT_EQ(reader.read(bytes), BatchFault::kNone);
  EXPECT_EQ(reader.head(), kHead);
  ASSERT_EQ(reader.placements().size(), 3U);
  const auto keys_of = [&](std::size_t at) {
    const auto keys = reader.placements()[at].keys;
    return Keys(keys.begin(), keys.end());
  };
  EXPECT_EQ(reader.placements()[0].endpoint, 11U);
  EXPECT_EQ(keys_of(0), a);
  EXPECT_EQ(reader.placements()[1].endpoint, 12U);
  EXPECT_EQ(keys_of(1), Keys{});
  EXPECT_EQ(keys_of(2), b);
}

TEST(PlacementBatch, AnEmptyOneSaysThatItsSenderLives) {
  PlacementReader reader;
  ASSERT_EQ(reader.read(batch_of({})), BatchFault::kNone);
  EXPECT_EQ(reader.head(), kHead);
  EXPECT_TRUE(reader.placements().empty());
}

TEST(PlacementBatch, EachFinishBeginsAnother) {
  PlacementWriter writer;
  const Keys keys{5};
  ASSERT_TRUE(writer.add({1, keys}));
  EXPECT_EQ(writer.size(), 1U);
  EXPECT_EQ(writer.finish(kHead), batch_of({{1, keys}}));
  EXPECT_EQ(writer.size(), 0U);
  EXPECT_EQ(writer.finish(kHead), batch_of({}));
}

TEST(PlacementBatch, WhatHasNoRoomIsRefusedAndTheRestIsWhole) {
  PlacementWriter writer;
  Keys keys(1000);
  std::iota(keys.begin(), keys.end(), 0);
  std::size_t taken = 0;
  while (writer.add({taken, keys})) ++taken;
  EXPECT_GT(taken, 100U);
  EXPECT_EQ(writer.size(), taken);
  // Shorter ones fit still, to the last byte.
  std::size_t shorter = 0;
  while (writer.add({9, {}})) ++shorter;
  const std::string bytes = writer.finish(kHead);
  EXPECT_LE(bytes.size(), kBatchBytesMax);
  EXPECT_GT(bytes.size() + 12, kBatchBytesMax);
  PlacementReader reader;
  ASSERT_EQ(reader.read(bytes), BatchFault::kNone);
  ASSERT_EQ(reader.placements().size(), taken + shorter);
  EXPECT_EQ(reader.placements()[taken - 1].keys[999], 999U);
}

TEST(PlacementBatch, OfALongPromptTheHeadIsTold) {
  PlacementWriter writer;
  Keys keys(kPlacementKeysMax + 5);
  std::iota(keys.begin(), keys.end(), 0);
  ASSERT_TRUE(writer.add({1, keys}));
  PlacementReader reader;
  ASSERT_EQ(reader.read(writer.finish(kHead)), BatchFault::kNone);
  ASSERT_EQ(reader.placements()[0].keys.size(), kPlacementKeysMax);
  EXPECT_EQ(reader.placements()[0].keys.back(), kPlacementKeysMax - 1);
}

TEST(PlacementBatch, ABatchThatIsCutOrLongerIsMalformed) {
  const std::string bytes = batch_of({{11, {1, 2, 3}}, {12, {4}}, {std::uint64_t{1} << 32, {}}});
  PlacementReader reader;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(reader.read(std::string_view(bytes).substr(0, size)), BatchFault::kMalformed) << size;
    EXPECT_TRUE(reader.placements().empty());
  }
  EXPECT_EQ(reader.read(bytes + '\0'), BatchFault::kMalformed);
  EXPECT_EQ(reader.read(bytes), BatchFault::kNone);
}

TEST(PlacementBatch, CountsThatPromiseMoreThanIsThereTakeNoMemory) {
  PlacementReader reader;
  for (const std::size_t at : {32U, 44U}) {  // Placements; keys of the first.
    std::string bytes = batch_of({{11, {1, 2, 3}}});
    const std::uint32_t many = 0xfffffff0;
    std::memcpy(bytes.data() + at - 4, &many, sizeof many);
    EXPECT_EQ(reader.read(bytes), BatchFault::kMalformed) << at;
  }
}

TEST(PlacementBatch, AnotherVersionIsToldApartFromGarbage) {
  std::string bytes = batch_of({{11, {1}}});
  bytes[4] = 2;
  PlacementReader reader;
  EXPECT_EQ(reader.read(bytes), BatchFault::kOtherVersion);
  bytes[0] = 'X';
  EXPECT_EQ(reader.read(bytes), BatchFault::kMalformed);
}

TEST(PlacementBatch, NumbersBeginWithOneAndWhatComesBeforeThemIsEmpty) {
  PlacementReader reader;
  PlacementWriter writer;
  EXPECT_EQ(reader.read(writer.finish({7, 0, 1024})), BatchFault::kNone);
  ASSERT_TRUE(writer.add({1, {}}));
  EXPECT_EQ(reader.read(writer.finish({7, 0, 1024})), BatchFault::kMalformed);
}

}  // namespace
}  // namespace fairlead::replication
