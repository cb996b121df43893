// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_feed.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "core/codec/kv_events_writer.h"
#include "core/codec/testing/kv_frames.h"

namespace fairlead::prefix {
namespace {

using codec::KvEvent;
using codec::KvEventKind;
using Ids = std::vector<std::uint32_t>;
using EngineHashes = std::vector<std::uint64_t>;

constexpr std::uint64_t kSeed = 99;
constexpr std::uint32_t kBlock = 4;

Ids ids(std::size_t blocks, std::uint32_t first = 0) {
  Ids out(blocks * kBlock);
  std::iota(out.begin(), out.end(), first * 1000);
  return out;
}

// An engine's view: what it stores under which hashes.
struct Store {
  EngineHashes hashes;
  Ids tokens;
  KvEvent event;
  std::string extras;  // Encoded.

  Store(EngineHashes of, Ids with, std::optional<std::uint64_t> parent = {})
      : hashes(std::move(of)), tokens(std::move(with)) {
    event.parent = parent;
    event.block_size = kBlock;
  }
  const KvEvent& get() {
    event.hashes = hashes;
    event.tokens = tokens;
    if (!extras.empty()) event.extra_keys = codec::KvExtraKeys(extras);
    return event;
  }
};

struct Removal {
  EngineHashes hashes;
  KvEvent event;

  explicit Removal(EngineHashes of) : hashes(std::move(of)) { event.kind = KvEventKind::kRemoved; }
  const KvEvent& get() {
    event.hashes = hashes;
    return event;
  }
};

struct Cleared {
  static KvEvent get() {
    KvEvent event;
    event.kind = KvEventKind::kCleared;
    return event;
  }
};

class KvFeedTest : public ::testing::Test {
 protected:
  template <class... Events>
  BatchEffect apply(KvFeed& feed, Events&&... events) {
    codec::KvEventsWriter writer(codec::KvEncoding::kMaps);
    (writer.add(events.get()), ...);
    std::string payload;
    writer.finish(1.0, 0, payload);
    return feed.apply(0, payload);
  }

  void sweep() {
    while (lane_.sweep(1000) > 0) {
    }
    context_.recycle_swept();
  }

  // Leading blocks of the prompt that the feed's tier is said to hold.
  std::size_t depth(const KvFeed& feed, const Ids& prompt, KvTier tier = KvTier::kDevice,
                    const KvNamespace& space = {
                        .model = "m", .adapter = {}, .cache_salt = {}, .block_tokens = kBlock}) {
    EngineHashes chain(prompt.size() / space.block_tokens);
    keys_.keys(keys_.root(space), prompt, space.block_tokens, chain);
    return depth_of(feed, chain, tier);
  }
  std::size_t depth_of(const KvFeed& feed, const EngineHashes& chain, KvTier tier) {
    const KvLane* const lanes[] = {&lane_};
    const KvIndex index(lanes);
    std::vector<KvDepth> depths(index.rows());
    index.match(chain, depths);
    const auto slot = feed.slots()[static_cast<std::size_t>(tier)];
    return slot ? depths[*slot] : 0;
  }

  TokenKeys keys_{kSeed};
  KvLane lane_{{.seed = kSeed, .budget_bytes = std::uint64_t{64} << 20, .slots_max = 64}};
  KvFeedContext context_{lane_, keys_};
  KvFeed feed_{context_, {.model = "m"}};
};

TEST(KvTier, MediaHaveTiersInAnyCase) {
  EXPECT_EQ(kv_tier_of(""), KvTier::kDevice);
  EXPECT_EQ(kv_tier_of("gpu"), KvTier::kDevice);
  for (const char* host : {"CPU", "cpu_pinned", "CPU_TIER1", "CPU_TIER2"}) {
    EXPECT_EQ(kv_tier_of(host), KvTier::kHost) << host;
  }
  for (const char* storage : {"STORAGE", "fs", "OBJ", "Disk", "EXTERNAL"}) {
    EXPECT_EQ(kv_tier_of(storage), KvTier::kStorage) << storage;
  }
  EXPECT_FALSE(kv_tier_of("TAPE"));
}

TEST_F(KvFeedTest, StoredBlocksAreFoundAndRemovedOnesAreNot) {
  const Ids prompt = ids(5);
  apply(feed_, Store({1, 2, 3}, {prompt.begin(), prompt.begin() + 12}));
  EXPECT_EQ(depth(feed_, prompt), 3U);
  apply(feed_, Store({4, 5}, {prompt.begin() + 12, prompt.end()}, 3));
  EXPECT_EQ(depth(feed_, prompt), 5U);
  apply(feed_, Removal({5}), Removal({4}));
  EXPECT_EQ(depth(feed_, prompt), 3U);
  EXPECT_EQ(feed_.block_tokens(), kBlock);
  EXPECT_EQ(feed_.figures().stored_blocks, 5U);
  EXPECT_EQ(feed_.figures().removed_blocks, 2U);
}

TEST_F(KvFeedTest, WhatWasSentIsNotExpectedOnceTheDeviceTells) {
  KvExpected expected(lane_);
  const model::EndpointRef endpoint{.slot = 3, .generation = 1};
  const auto slot = expected.open(endpoint);
  KvFeed feed(context_,
              {.model = "m", .hash_seed = {}, .expected = &expected, .endpoint = endpoint});
  const Ids prompt = ids(5);
  EngineHashes keys(5);
  keys_.keys(keys_.root({.model = "m", .adapter = {}, .cache_salt = {}, .block_tokens = kBlock}),
             prompt, kBlock, keys);
  expected.add(endpoint, keys, Time::max(), {});
  apply(feed, Store({1, 2, 3}, {prompt.begin(), prompt.begin() + 12}));
  Store copy({1, 2, 3, 4, 5}, prompt);
  copy.event.medium = "CPU";
  apply(feed, copy);
  EXPECT_EQ(lane_.held_blocks(*slot), 5U);
  apply(feed, Store({4, 5}, {prompt.begin() + 12, prompt.end()}, 3), Removal({5}));
  EXPECT_EQ(lane_.held_blocks(*slot), 0U);
  EXPECT_EQ(depth(feed, prompt), 4U);
  for (const bool forgets : {true, false}) {
    expected.add(endpoint, keys, Time::max(), {});
    EXPECT_EQ(lane_.held_blocks(*slot), 5U);
    if (forgets) feed.forget();
    if (!forgets) apply(feed, Cleared());
    EXPECT_EQ(lane_.held_blocks(*slot), 0U);
  }
}

TEST_F(KvFeedTest, CopiesOfOneBatchAreCounted) {
  apply(feed_, Store({1, 2}, ids(2)), Store({1, 2}, ids(2)));
  apply(feed_, Removal({2}), Removal({1}));
  EXPECT_EQ(depth(feed_, ids(2)), 2U);
  apply(feed_, Removal({2}), Removal({1}));
  EXPECT_EQ(depth(feed_, ids(2)), 0U);
}

TEST_F(KvFeedTest, BlocksAnnouncedAgainDoNotStay) {
  apply(feed_, Store({1, 2}, ids(2)));
  for (int i = 0; i < 9; ++i) apply(feed_, Store({1, 2}, ids(2)));
  apply(feed_, Store({1, 2, 3}, ids(3)));  // And one that is new.
  EXPECT_EQ(depth(feed_, ids(3)), 3U);
  EXPECT_EQ(feed_.figures().announced_again, 20U);
  apply(feed_, Removal({3}), Removal({2}), Removal({1}));
  EXPECT_EQ(depth(feed_, ids(3)), 0U);
}

TEST_F(KvFeedTest, TheCapturedReportModeFullDoesNotPinBlocks) {
  EngineHashes stored;
  codec::KvEventDecoder decoder;
  std::uint64_t sequence = 0;
  for (const auto& message : codec::read_kv_messages("v0.32.0-b32-16blocks-report-mode-full")) {
    codec::KvBatch batch;
    ASSERT_FALSE(decoder.decode(message.back(), batch));
    for (const KvEvent& event : batch.events) {
      stored.assign(event.hashes.begin(), event.hashes.end());
    }
    EXPECT_EQ(feed_.apply(sequence++, message.back()), BatchEffect::kApplied);
  }
  EXPECT_GT(feed_.figures().announced_again, 0U);
  ASSERT_FALSE(stored.empty());
  const KvSlot slot = *feed_.slots()[0];
  const std::uint64_t held = lane_.held_blocks(slot);
  apply(feed_, Removal(stored));
  EXPECT_EQ(lane_.held_blocks(slot), held - stored.size());
}

TEST_F(KvFeedTest, TiersAreHeldApartAndPlaceholdersAreResolved) {
  apply(feed_, Store({1, 2, 3}, ids(3)));
  Store copy({1, 2}, {});
  copy.event.block_size = 0;
  copy.event.medium = "CPU";
  apply(feed_, copy);
  EXPECT_EQ(depth(feed_, ids(3), KvTier::kHost), 2U);
  apply(feed_, Removal({3, 2, 1}));
  EXPECT_EQ(depth(feed_, ids(3)), 0U);
  EXPECT_EQ(depth(feed_, ids(3), KvTier::kHost), 2U);
  Removal host({1, 2});
  host.event.medium = "CPU";
  apply(feed_, host);
  EXPECT_EQ(depth(feed_, ids(3), KvTier::kHost), 0U);
  EXPECT_EQ(feed_.figures().placeholder_blocks, 2U);
}

TEST_F(KvFeedTest, WhatIsNotAPlainPrefixHereIsPassedOver) {
  Store remote({1}, ids(1));
  remote.event.locality = "REMOTE";
  Store tape({2}, ids(1));
  tape.event.medium = "TAPE";
  Store sparse({3, 4}, ids(3));
  apply(feed_, remote, tape, sparse);
  EXPECT_EQ(depth(feed_, ids(3)), 0U);
  EXPECT_EQ(feed_.figures().remote, 1U);
  EXPECT_EQ(feed_.figures().unknown_medium, 1U);
  EXPECT_EQ(feed_.figures().not_dense, 1U);
}

// SGLang's, whose hashes are those of the same blocks without a salt.
TEST_F(KvFeedTest, BlocksWhoseSaltIsNotInTheirHashesAreNotIndexed) {
  const auto text = [](std::string_view of) {
    return static_cast<char>(0xa0 + of.size()) + std::string(of);
  };
  const auto stored = [&](const std::string& salt) {
    return codec::from_hex("92 00 91 85") + text("type") + text("BlockStored") +
           text("block_hashes") + codec::from_hex("91 01") + text("token_ids") +
           codec::from_hex("94 00 01 02 03") + text("block_size") + codec::from_hex("04") +
           text("cache_salt") + salt;
  };
  EXPECT_EQ(feed_.apply(0, stored(text("tenant"))), BatchEffect::kApplied);
  EXPECT_EQ(depth(feed_, ids(1)), 0U);
  EXPECT_EQ(feed_.figures().salted, 1U);
  EXPECT_EQ(feed_.apply(1, stored(codec::from_hex("c0"))), BatchEffect::kApplied);
  EXPECT_EQ(depth(feed_, ids(1)), 1U);
}

TEST_F(KvFeedTest, GroupsOtherThanFullAttentionsAreLearntAndPassedOver) {
  Store window({1, 2}, ids(2));
  window.event.group = 0;
  window.event.spec_kind = "sliding_window";
  Store full({1, 2}, ids(2));
  full.event.group = 1;
  full.event.spec_kind = "full_attention";
  apply(feed_, window, full);
  EXPECT_EQ(depth(feed_, ids(2)), 2U);
  for (const std::uint32_t group : {0U, 7U}) {
    Removal removal({1, 2});
    removal.event.group = group;
    apply(feed_, removal);
    EXPECT_EQ(depth(feed_, ids(2)), 2U);
  }
  Removal removal({2});
  removal.event.group = 1;
  apply(feed_, removal);
  EXPECT_EQ(depth(feed_, ids(2)), 1U);
  EXPECT_EQ(feed_.figures().other_group, 2U);
  EXPECT_EQ(feed_.figures().unknown_group, 1U);
}

TEST_F(KvFeedTest, ClearingLeavesOthersAndStoresAfterItCount) {
  KvFeed other(context_, {.model = "m"});
  apply(other, Store({1, 2}, ids(2)));
  apply(feed_, Store({1, 2}, ids(2)));
  const auto version = feed_.slots_version();
  EXPECT_EQ(apply(feed_, Cleared(), Store({1}, ids(1))), BatchEffect::kEmptied);
  EXPECT_EQ(depth(feed_, ids(2)), 1U);
  EXPECT_EQ(depth(other, ids(2)), 2U);
  EXPECT_GT(feed_.slots_version(), version);
  context_.recycle_swept();
  EXPECT_EQ(context_.retired(), 1U) << "it is not swept yet";
  sweep();
  EXPECT_EQ(context_.retired(), 0U);
  feed_.forget();
  EXPECT_EQ(depth(feed_, ids(2)), 0U);
  EXPECT_EQ(depth(other, ids(2)), 2U);
}

TEST_F(KvFeedTest, AClearedCacheThatHeldNothingKeepsItsSlot) {
  const Ids prompt = ids(3);
  const Ids tail(prompt.begin() + 2 * kBlock, prompt.end());
  apply(feed_, Store({1}, ids(1)), Removal({1}), Store({3}, tail, 2));
  const KvFeed::Slots slots = feed_.slots();
  EXPECT_EQ(lane_.figures().orphan_blocks, 1U);
  apply(feed_, Cleared());
  EXPECT_EQ(feed_.slots(), slots);
  EXPECT_EQ(context_.retired(), 0U);
  apply(feed_, Store({1, 2}, ids(2)));
  EXPECT_EQ(depth(feed_, prompt), 2U) << "what waited was cleared too";
}

TEST_F(KvFeedTest, WhoClearsAgainAndAgainUsesUpItsOwnSlotsAlone) {
  KvFeed other(context_, {.model = "m"});
  codec::KvEventsWriter writer(codec::KvEncoding::kMaps);
  for (std::uint64_t i = 0; i < 200; ++i) {
    writer.add(Store({i}, ids(1)).get());
    writer.add(Cleared::get());
  }
  std::string payload;
  writer.finish(1.0, 0, payload);
  EXPECT_EQ(feed_.apply(0, payload), BatchEffect::kEmptied) << "it holds nothing, as is known";
  EXPECT_EQ(context_.retired(), KvFeed::kWaitingMax);
  EXPECT_EQ(feed_.figures().no_slot, 200U - KvFeed::kWaitingMax);
  EXPECT_EQ(apply(feed_, Cleared(), Store({1}, ids(1))), BatchEffect::kPartial);
  EXPECT_EQ(apply(other, Store({1}, ids(1))), BatchEffect::kApplied);
  EXPECT_EQ(depth(other, ids(1)), 1U);
  sweep();
  EXPECT_EQ(apply(feed_, Store({1}, ids(1))), BatchEffect::kApplied);
  EXPECT_EQ(depth(feed_, ids(1)), 1U);
}

TEST_F(KvFeedTest, WhoseBatchesAreMalformedUsesUpItsOwnSlotsAlone) {
  KvFeed other(context_, {.model = "m"});
  for (std::uint64_t i = 0; i < 200; ++i) {
    apply(feed_, Store({i}, ids(1)));
    ASSERT_EQ(feed_.apply(0, "\xc1"), BatchEffect::kMalformed);
    feed_.forget();
  }
  EXPECT_GT(feed_.figures().no_slot, 0U);
  EXPECT_EQ(apply(other, Store({1}, ids(1))), BatchEffect::kApplied);
  EXPECT_EQ(depth(other, ids(1)), 1U);
}

TEST_F(KvFeedTest, WhereThereIsNoSlotLeftTheBatchIsPartial) {
  std::vector<KvSlot> taken;
  while (const auto slot = lane_.open(0)) taken.push_back(*slot);
  EXPECT_EQ(apply(feed_, Store({1}, ids(1))), BatchEffect::kPartial);
  EXPECT_EQ(feed_.figures().no_slot, 1U);
  lane_.retire(taken.back());
  context_.add_retired(taken.back());
  sweep();
  EXPECT_EQ(apply(feed_, Store({1}, ids(1))), BatchEffect::kApplied);
}

TEST_F(KvFeedTest, NamespacesDoNotMatchEachOther) {
  Store plain({1}, ids(1));
  Store adapter({2}, ids(1));
  adapter.event.lora_name = "a";
  adapter.extras = codec::from_hex("91 91 a161");  // [["a"]]
  Store salted({3, 4}, ids(2));
  salted.extras = codec::from_hex("92 91 a3 746e74 c0");  // [["tnt"], nil]
  const KvNamespace base{.model = "m", .adapter = {}, .cache_salt = {}, .block_tokens = kBlock};
  KvNamespace with_adapter = base;
  with_adapter.adapter = "a";
  KvNamespace with_salt = base;
  with_salt.cache_salt = "tnt";
  KvNamespace other_model = base;
  other_model.model = "n";
  const auto depths = [&] {
    return std::vector{depth(feed_, ids(2), KvTier::kDevice, base),
                       depth(feed_, ids(2), KvTier::kDevice, with_adapter),
                       depth(feed_, ids(2), KvTier::kDevice, with_salt),
                       depth(feed_, ids(2), KvTier::kDevice, other_model)};
  };
  apply(feed_, plain);
  EXPECT_EQ(depths(), (std::vector<std::size_t>{1, 0, 0, 0}));
  apply(feed_, adapter, Removal({1}));
  EXPECT_EQ(depths(), (std::vector<std::size_t>{0, 1, 0, 0}));
  apply(feed_, salted, Removal({2}));
  EXPECT_EQ(depths(), (std::vector<std::size_t>{0, 0, 2, 0}));
}

TEST_F(KvFeedTest, MediaItemsTellBlocksOfEqualTokensApart) {
  Store image({1}, ids(1));
  image.extras = codec::from_hex("91 91 92 a369 6d67 03");  // [[["img", 3]]]
  apply(feed_, image);
  EXPECT_EQ(depth(feed_, ids(1)), 0U);
  const std::uint64_t root =
      keys_.root({.model = "m", .adapter = {}, .cache_salt = {}, .block_tokens = kBlock});
  const std::uint64_t content = keys_.content(ids(1), keys_.extra_of("img", 3, 0));
  EXPECT_EQ(depth_of(feed_, {keys_.chain(root, content)}, KvTier::kDevice), 1U);
}

TEST_F(KvFeedTest, GarbageChangesNothingAndIsLocated) {
  apply(feed_, Store({1}, ids(1)));
  EXPECT_EQ(feed_.apply(1, codec::from_hex("92 00 91 c1")), BatchEffect::kMalformed);
  ASSERT_TRUE(feed_.last_fault());
  EXPECT_EQ(feed_.last_fault()->offset, 3U);
  EXPECT_EQ(depth(feed_, ids(1)), 1U);
}

TEST_F(KvFeedTest, EnginesThatHashAlikeShareWhatTheirHashesMean) {
  // Each engine has half of the chain told in full, and the rest by hash alone.
  const VllmHasher hasher(VllmHashAlgorithm::kSha256Cbor, "0");
  const Ids prompt = ids(2);
  const auto first = hasher.block(hasher.none(), std::span(prompt).first(kBlock));
  const auto second = hasher.block(first, std::span(prompt).subspan(kBlock));
  KvFeed other(context_, {.model = "m"});
  apply(feed_, Store({first.tail(), second.tail()}, prompt));
  apply(other, Store({first.tail()}, {prompt.begin(), prompt.begin() + kBlock}));
  Store placeholder({second.tail()}, {});
  placeholder.event.block_size = 0;
  apply(other, placeholder);
  EXPECT_EQ(depth(other, prompt), 2U);
  ASSERT_TRUE(feed_.audit().domain());
  EXPECT_EQ(feed_.audit().domain()->seed, "0");
}

TEST_F(KvFeedTest, WhatWasSavedGoesOn) {
  Store full({1, 2}, ids(2));
  full.event.group = 3;
  full.event.spec_kind = "mla_attention";
  apply(feed_, full);
  KvFeed again(context_, {.model = "m"});
  again.resume(feed_.save());
  Removal removal({2});
  removal.event.group = 3;
  apply(again, removal);
  EXPECT_EQ(depth(again, ids(2)), 1U);
  again.forget();
  feed_.resume({});  // Both named the same slot.
}

TEST_F(KvFeedTest, WhatIsToldAgainAfterARestartIsNoCopy) {
  const Ids prompt = ids(2);
  const Ids head(prompt.begin(), prompt.begin() + kBlock);
  const Ids tail(prompt.begin() + kBlock, prompt.end());
  apply(feed_, Store({1, 2}, prompt));
  KvFeed again(context_, {.model = "m"});
  KvFeed::Saved saved = feed_.save();
  saved.settled = 1;
  again.resume(saved);
  apply(again, Store({2}, tail, 1));
  apply(again, Removal({2}));
  EXPECT_EQ(depth(again, prompt), 1U);
  // Of a publisher that began anew, everything is news.
  again.forget();
  apply(again, Store({1}, head), Store({2}, tail, 1));
  apply(again, Store({2}, tail, 1));
  apply(again, Removal({2}));
  EXPECT_EQ(depth(again, prompt), 2U);
  feed_.resume({});  // Both named the same slot.
}

TEST_F(KvFeedTest, HashesAreLookedAtAgainNowAndThen) {
  const VllmHasher hasher(VllmHashAlgorithm::kSha256Cbor, "0");
  apply(feed_, Store({hasher.block(hasher.none(), ids(1)).tail()}, ids(1)));
  EXPECT_EQ(feed_.audit().verdict(), KvHashVerdict::kAgrees);
  for (std::uint32_t i = 1; i <= 256; ++i) apply(feed_, Store({i}, ids(1, i)));
  EXPECT_EQ(feed_.audit().checked(), 2U);
  EXPECT_EQ(feed_.audit().verdict(), KvHashVerdict::kPrivate);
}

// What the captured engine held, worked out naively, and what the index says of every prompt.
TEST_F(KvFeedTest, ACapturedRunWithEvictionsIsFollowedBlockByBlock) {
  std::map<std::uint64_t, Ids> prefix_of;  // By engine hash.
  std::set<std::uint64_t> held;
  codec::KvEventDecoder decoder;
  std::uint64_t sequence = 0;
  for (const auto& message : codec::read_kv_messages("v0.32.0-b32-16blocks-eviction")) {
    codec::KvBatch batch;
    ASSERT_FALSE(decoder.decode(message.back(), batch));
    for (const KvEvent& event : batch.events) {
      if (event.kind == KvEventKind::kRemoved) held.erase(event.hashes[0]);
      if (event.kind != KvEventKind::kStored) continue;
      Ids prefix = event.parent ? prefix_of[*event.parent] : Ids();
      for (std::size_t i = 0; i < event.hashes.size(); ++i) {
        const auto tokens = event.tokens.subspan(i * 32, 32);
        prefix.insert(prefix.end(), tokens.begin(), tokens.end());
        prefix_of[event.hashes[i]] = prefix;
        held.insert(event.hashes[i]);
      }
    }
    feed_.apply(sequence++, message.back());
    std::map<Ids, std::size_t> expected;
    for (const auto& [hash, prefix] : prefix_of) expected[prefix] = held.contains(hash) ? 1 : 0;
    const KvNamespace space{.model = "m", .adapter = {}, .cache_salt = {}, .block_tokens = 32};
    for (const auto& [prompt, present] : expected) {
      std::size_t blocks = 0;
      while (blocks * 32 < prompt.size()) {
        const Ids prefix(prompt.begin(),
                         prompt.begin() + static_cast<std::ptrdiff_t>(32 * (blocks + 1)));
        if (expected[prefix] == 0) break;
        ++blocks;
      }
      EXPECT_EQ(depth(feed_, prompt, KvTier::kDevice, space), blocks);
    }
    EXPECT_EQ(lane_.held_blocks(*feed_.slots()[0]), held.size());
  }
  EXPECT_GT(feed_.figures().removed_blocks, 10U);
}

}  // namespace
}  // namespace fairlead::prefix
