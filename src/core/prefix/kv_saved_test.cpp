// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_saved.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/random.h"
#include "core/codec/kv_events_writer.h"
#include "core/prefix/kv_index.h"

namespace fairlead::prefix {
namespace {

constexpr std::uint64_t kSavedSeed = 7;
constexpr std::uint32_t kSavedBlock = 4;

// One process's index and its one publisher.
struct SavedProcess {
  KvLane lane{{.seed = kSavedSeed, .budget_bytes = std::uint64_t{8} << 20, .slots_max = 8}};
  TokenKeys keys{kSavedSeed};
  KvFeedContext context{lane, keys};
  KvFeed feed{context, {.model = {}}};

  std::size_t depth(std::size_t blocks) {
    std::vector<std::uint32_t> tokens(blocks * kSavedBlock);
    std::iota(tokens.begin(), tokens.end(), 0U);
    std::vector<std::uint64_t> chain(blocks);
    keys.keys(keys.root({.block_tokens = kSavedBlock}), tokens, kSavedBlock, chain);
    const KvLane* const lanes[] = {&lane};
    const KvIndex index(lanes);
    std::vector<KvDepth> depths(index.rows());
    index.match(chain, depths);
    return depths[feed.slots()[0].value()];
  }
};

// Blocks of one chain, the next behind `parent`.
std::string saved_batch(codec::KvEventKind kind, std::vector<std::uint64_t> hashes,
                        std::optional<std::uint64_t> parent = {}, std::uint32_t first = 0) {
  std::vector<std::uint32_t> tokens(hashes.size() * kSavedBlock);
  std::iota(tokens.begin(), tokens.end(), first * kSavedBlock);
  codec::KvEvent event;
  event.kind = kind;
  event.hashes = hashes;
  event.parent = parent;
  if (kind == codec::KvEventKind::kStored) {
    event.tokens = tokens;
    event.block_size = kSavedBlock;
  }
  codec::KvEventsWriter writer(codec::KvEncoding::kMaps);
  writer.add(event);
  std::string payload;
  writer.finish(1, 0, payload);
  return payload;
}

std::string saved_file(SavedProcess& from, const KvSavedPublisher& publisher) {
  codec::RestartWriter writer;
  writer.add(codec::RestartHead{.key_seed = kSavedSeed, .domains = from.lane.domains()});
  codec::RestartRun run;
  from.lane.begin_export();
  while (from.lane.export_next(run) == KvLane::Exported::kRun) writer.add(run);
  save_domains(from.context, from.lane.domains(), writer);
  codec::RestartPublisher record = to_record(publisher);
  record.endpoint = "e";
  writer.add(record);
  writer.finish();
  return writer.take();
}

TEST(KvSaved, APublisherGoesOnWhereItWas) {
  SavedProcess before;
  before.feed.apply(4, saved_batch(codec::KvEventKind::kStored, {11, 12, 13, 14}));
  // This one came after the save had begun, so that it is told again.
  const std::string stored = saved_batch(codec::KvEventKind::kStored, {15, 16}, 14, 4);
  before.feed.apply(5, stored);
  const std::string file = saved_file(before, save_publisher(before.feed, {5, 77, true}, 6));

  codec::RestartImage image;
  ASSERT_FALSE(codec::read_restart(file, image));
  SavedProcess after;
  std::vector<KvSavedPublisher> known = restore_index(image, after.context);
  ASSERT_EQ(known.size(), 1U);
  EXPECT_EQ(known[0].stream.next, 5U);
  EXPECT_EQ(known[0].stream.witness, 77U);
  EXPECT_TRUE(known[0].stream.complete);
  after.feed.resume(std::move(known[0].feed));
  EXPECT_EQ(after.depth(6), 6U);

  after.feed.apply(5, stored);
  after.feed.apply(6, saved_batch(codec::KvEventKind::kRemoved, {16}));
  EXPECT_EQ(after.depth(6), 5U) << "what is told again is no copy";
}

TEST(KvSaved, WhatCannotBeOpenedIsToldAnew) {
  SavedProcess before;
  before.feed.apply(0, saved_batch(codec::KvEventKind::kStored, {11, 12}));
  KvSavedPublisher odd = save_publisher(before.feed, {5, 77, true}, 5);
  odd.feed.domain.reset();
  const std::string file = saved_file(before, odd);
  codec::RestartImage image;
  ASSERT_FALSE(codec::read_restart(file, image));
  SavedProcess after;
  const std::vector<KvSavedPublisher> known = restore_index(image, after.context);
  EXPECT_EQ(known.at(0).stream.next, 0U);
  EXPECT_FALSE(known.at(0).feed.slots[0]);
}

TEST(KvSaved, WhoDoesNotComeBackIsForgotten) {
  SavedProcess before;
  before.feed.apply(0, saved_batch(codec::KvEventKind::kStored, {11, 12}));
  const std::string file = saved_file(before, save_publisher(before.feed, {1, 77, true}, 1));
  codec::RestartImage image;
  ASSERT_FALSE(codec::read_restart(file, image));
  SavedProcess after;
  const std::vector<KvSavedPublisher> known = restore_index(image, after.context);
  EXPECT_EQ(after.lane.figures().blocks, 2U);
  forget_saved(known.at(0), after.context);
  while (after.lane.sweep(100) > 0) {
  }
  after.context.recycle_swept();
  EXPECT_EQ(after.lane.figures().blocks, 0U);
  EXPECT_EQ(after.context.retired(), 0U);
}

// A file of a run that others of it cut before each block, with as much beside as a record holds.
TEST(KvSaved, ARunThatIsCutEverywhereCostsWhatItHas) {
  constexpr std::uint16_t kBlocks = 4096;
  codec::RestartWriter writer;
  writer.add(codec::RestartHead{.key_seed = kSavedSeed, .domains = 1});
  codec::RestartRun whole;
  for (std::uint64_t i = 0; i < kBlocks; ++i) {
    whole.keys.push_back(mix64(i));
    whole.hashes.push_back(mix64(i + kBlocks));
    writer.add(codec::RestartRun{{whole.keys[i]}, {whole.hashes[i]}, {}, {{0, 1}}});
  }
  for (std::uint64_t i = 0; i < 500'000; ++i) {  // From the last block on.
    whole.names.push_back(
        {static_cast<std::uint32_t>(kBlocks - 1 - i * kBlocks / 500'000), mix64(~i)});
  }
  // The only one that is wanted, and told as often as there is room.
  for (std::uint32_t i = 0; i < 0xffff; ++i) {
    whole.holders.push_back({static_cast<std::uint16_t>(i % 2), kBlocks});
  }
  writer.add(whole);
  writer.finish();
  const std::string file = writer.take();
  codec::RestartImage image;
  ASSERT_FALSE(codec::read_restart(file, image));

  KvLane lane({.seed = kSavedSeed, .budget_bytes = std::uint64_t{128} << 20, .slots_max = 8});
  const KvSlot slot = *lane.open(0);
  const std::vector<std::uint32_t> slots = {slot, KvLane::kNoSlot};
  import_runs(image.runs, slots, lane);  // 9 s where each piece looks at all names and holders.
  EXPECT_EQ(lane.held_blocks(slot), kBlocks);
  const std::uint64_t salt = mix64(kSavedSeed);  // Of domain 0, as the lane has it.
  lane.remove(slot, std::vector{mix64(~std::uint64_t{0}) ^ salt});
  EXPECT_EQ(lane.held_blocks(slot), kBlocks - 1U) << "it is known by its name";
}

}  // namespace
}  // namespace fairlead::prefix
