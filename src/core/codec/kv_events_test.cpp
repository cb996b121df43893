// SPDX-License-Identifier: Apache-2.0
#include "core/codec/kv_events.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/random.h"
#include "core/codec/kv_events_writer.h"
#include "core/codec/testing/kv_frames.h"

namespace fairlead::codec {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kCaptures[] = {"v0.32.0-b128-cache-salt",
                                          "v0.32.0-b128-reset",
                                          "v0.32.0-b32-16blocks-eviction",
                                          "v0.32.0-b32-16blocks-report-mode-full",
                                          "v0.32.0-b32-16blocks-decode-growth",
                                          "v0.32.0-b32-noseed-sha256pickle-cache-salt",
                                          "v0.32.0-b32-bytes-xxhash-seed42-cache-salt",
                                          "v0.32.0-b32-bytes-xxhash-seed42-replay-from0-dealer",
                                          "encoded-with-v0.10.2-structs",
                                          "encoded-with-v0.23.0-structs"};

// A value as MessagePack, for messages that no capture has.
std::string pack(const Json& value) {
  const std::vector<std::uint8_t> bytes = Json::to_msgpack(value);
  return {bytes.begin(), bytes.end()};
}

std::string batch(const Json& events) { return pack(Json::array({1.5, events, nullptr})); }

// A batch with one event.
std::string stored(const Json& event) { return batch(Json::array({event})); }

struct Decoded {
  KvEventDecoder decoder;
  KvBatch batch;
  std::optional<KvFault> fault;
  std::string payload;

  explicit Decoded(std::string bytes) : payload(std::move(bytes)) {
    fault = decoder.decode(payload, batch);
  }
  const KvEvent& only() const {
    static const KvEvent none;
    EXPECT_FALSE(fault) << to_string(fault->error) << " at " << fault->offset;
    EXPECT_EQ(batch.events.size(), 1U);
    return batch.events.empty() ? none : batch.events[0];
  }
};

std::uint64_t hash_of(const Json& value) {
  if (!value.is_string()) return value.get<std::uint64_t>();
  const std::string digits = value.get<std::string>();
  return std::stoull(digits.substr(digits.size() - 16), nullptr, 16);
}

// A field of an event by its name or by its place in the array form; nil when it is absent.
Json field(const Json& event, const char* name, std::size_t place) {
  if (event.is_object()) return event.value(name, Json());
  return place < event.size() ? event[place] : Json();
}

std::string text_or_empty(const Json& value) {
  return value.is_string() ? value.get<std::string>() : "";
}

void expect_extras(KvExtraKeys keys, const Json& expected) {
  if (!expected.is_array()) return;
  for (const Json& block : expected) {
    if (keys.empty()) {
      EXPECT_TRUE(block.is_null());
      continue;
    }
    ASSERT_TRUE(keys.next_block());
    KvExtraItem item;
    for (std::size_t i = 0; block.is_array() && i < block.size(); ++i) {
      ASSERT_TRUE(keys.next(item));
      EXPECT_EQ(item.text, block[i].get<std::string>());
    }
    EXPECT_FALSE(keys.next(item));
  }
}

void expect_same(const KvEvent& event, const Json& expected) {
  const std::string tag = field(expected, "type", 0);
  if (event.kind == KvEventKind::kCleared) {
    EXPECT_EQ(tag, "AllBlocksCleared");
    return;
  }
  const Json hashes = field(expected, "block_hashes", 1);
  ASSERT_EQ(event.hashes.size(), hashes.size());
  for (std::size_t i = 0; i < hashes.size(); ++i) EXPECT_EQ(event.hashes[i], hash_of(hashes[i]));
  if (event.kind == KvEventKind::kRemoved) {
    EXPECT_EQ(tag, "BlockRemoved");
    EXPECT_EQ(event.medium, text_or_empty(field(expected, "medium", 2)));
    return;
  }
  EXPECT_EQ(tag, "BlockStored");
  const Json parent = field(expected, "parent_block_hash", 2);
  ASSERT_EQ(event.parent.has_value(), !parent.is_null());
  EXPECT_EQ(event.parent.value_or(0), parent.is_null() ? 0 : hash_of(parent));
  const std::vector<std::uint32_t> tokens = field(expected, "token_ids", 3);
  EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), event.tokens.begin(), event.tokens.end()));
  EXPECT_EQ(event.block_size, field(expected, "block_size", 4).get<std::uint32_t>());
  EXPECT_EQ(event.medium, text_or_empty(field(expected, "medium", 6)));
  EXPECT_EQ(event.spec_kind, text_or_empty(field(expected, "kv_cache_spec_kind", 10)));
  EXPECT_EQ(event.group.has_value(), !field(expected, "group_idx", 9).is_null());
  expect_extras(event.extra_keys, field(expected, "extra_keys", 8));
}

TEST(KvEvents, CapturesReadAsAnotherReaderReadsThem) {
  std::size_t events = 0;
  for (const std::string_view capture : kCaptures) {
    SCOPED_TRACE(capture);
    const std::string name(capture);
    const std::vector<KvMessage> messages = read_kv_messages(name);
    const Json expected = Json::parse(read_testdata("kv_events/" + name + ".json"));
    ASSERT_EQ(messages.size(), expected.size());
    KvEventDecoder decoder;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const std::string& payload = messages[i].back();
      if (payload.empty()) continue;  // The end of a replay.
      KvBatch batch;
      const auto fault = decoder.decode(payload, batch);
      ASSERT_FALSE(fault) << to_string(fault->error) << " at " << fault->offset;
      const Json& seen = expected[i]["payload"];
      EXPECT_EQ(batch.timestamp, seen[0].get<double>());
      ASSERT_EQ(batch.events.size(), seen[1].size());
      ASSERT_EQ(batch.rank.has_value(), seen.size() > 2 && !seen[2].is_null());
      for (std::size_t j = 0; j < batch.events.size(); ++j) {
        expect_same(batch.events[j], seen[1][j]);
        ++events;
      }
    }
  }
  EXPECT_GT(events, 100U);
}

TEST(KvEvents, WhatTheWriterWritesIsWhatTheEngineWrote) {
  for (const auto& [name, encoding] :
       {std::pair{"v0.32.0-b32-16blocks-eviction", KvEncoding::kMaps},
        std::pair{"v0.32.0-b128-cache-salt", KvEncoding::kMaps},
        std::pair{"v0.32.0-b128-reset", KvEncoding::kMaps},
        std::pair{"encoded-with-v0.23.0-structs", KvEncoding::kArrays}}) {
    SCOPED_TRACE(name);
    KvEventDecoder decoder;
    KvEventsWriter writer(encoding);
    for (const KvMessage& message : read_kv_messages(name)) {
      KvBatch batch;
      ASSERT_FALSE(decoder.decode(message.back(), batch));
      for (const KvEvent& event : batch.events) writer.add(event);
      std::string bytes;
      writer.finish(batch.timestamp, batch.rank, bytes);
      EXPECT_EQ(bytes, message.back());
    }
  }
}

TEST(KvEvents, ABatchIsAnArrayOfTwoOrMoreOrAMap) {
  const Json none = Json::array();
  for (const Json& outer :
       {Json::array({1.5, none}), Json::array({1.5, none, nullptr}), Json::array({1.5, none, 3}),
        Json::array({1.5, none, 3, "later", {{"a", 1}}}),
        Json{{"ts", 1.5}, {"events", none}, {"data_parallel_rank", 3}, {"epoch", "x"}}}) {
    const Decoded decoded(pack(outer));
    ASSERT_FALSE(decoded.fault) << outer.dump();
    EXPECT_EQ(decoded.batch.timestamp, 1.5);
    EXPECT_EQ(decoded.batch.rank.value_or(3), 3U);
    EXPECT_EQ(kv_batch_rank(pack(outer)), decoded.batch.rank.value_or(0));
  }
  EXPECT_EQ(Decoded(pack(Json::array({7, none}))).batch.timestamp, 7.0);
  EXPECT_EQ(Decoded(pack(Json::array({1.5}))).fault->error, KvDecodeError::kFieldMissing);
  EXPECT_EQ(Decoded(pack(Json{{"ts", 1.5}})).fault->error, KvDecodeError::kFieldMissing);
}

TEST(KvEvents, ArraysMayEndAfterAnyField) {
  const Json whole = {"BlockStored",
                      {1, 2},
                      nullptr,
                      {10, 11, 12, 13},
                      2,
                      5,
                      "CPU",
                      "adapter",
                      {nullptr, nullptr},
                      3,
                      "mamba",
                      128,
                      "REMOTE",
                      "owner",
                      "s"};
  for (std::size_t parts = 2; parts <= whole.size(); ++parts) {
    const Json event(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(parts));
    const Decoded decoded(stored(event));
    const KvEvent& seen = decoded.only();
    EXPECT_EQ(seen.hashes.size(), 2U);
    EXPECT_EQ(seen.tokens.size(), parts > 3 ? 4U : 0U);
    EXPECT_EQ(seen.block_size, parts > 4 ? 2U : 0U);
    EXPECT_EQ(seen.lora_id.has_value(), parts > 5);
    EXPECT_EQ(seen.medium, parts > 6 ? "CPU" : "");
    EXPECT_EQ(seen.lora_name, parts > 7 ? "adapter" : "");
    EXPECT_EQ(seen.group.has_value(), parts > 9);
    EXPECT_EQ(seen.spec_kind, parts > 10 ? "mamba" : "");
    EXPECT_EQ(seen.locality, parts > 12 ? "REMOTE" : "");
  }
  EXPECT_EQ(Decoded(stored({"BlockStored"})).fault->error, KvDecodeError::kFieldMissing);
}

TEST(KvEvents, RemovalsMayEndAfterAnyFieldAndOnceHadAKindAndAWindow) {
  const Json whole = {"BlockRemoved", {1}, "CPU", 2, "REMOTE", "owner"};
  for (std::size_t parts = 2; parts <= whole.size(); ++parts) {
    const Decoded decoded(
        stored(Json(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(parts))));
    EXPECT_EQ(decoded.only().kind, KvEventKind::kRemoved);
    EXPECT_EQ(decoded.only().medium, parts > 2 ? "CPU" : "");
    EXPECT_EQ(decoded.only().group.value_or(9), parts > 3 ? 2U : 9U);
    EXPECT_EQ(decoded.only().locality, parts > 4 ? "REMOTE" : "");
  }
  const Decoded decoded(stored({"BlockRemoved", {1}, nullptr, 2, "full_attention", 128}));
  EXPECT_EQ(decoded.only().locality, "");
  EXPECT_EQ(decoded.only().medium, "");
}

TEST(KvEvents, SglangPutsAMapWhereTheAdapterStands) {
  const Json map = {{"cache_salt", "tenant"}, {"session_id", "s"}};
  const Decoded decoded(
      stored({"BlockStored", {-5, 7}, -2, {1, 2}, 1, nullptr, "CPU_PINNED", map}));
  const KvEvent& event = decoded.only();
  EXPECT_EQ(event.hashes[0], static_cast<std::uint64_t>(-5));
  EXPECT_EQ(event.hashes[1], 7U);
  EXPECT_EQ(event.parent, static_cast<std::uint64_t>(-2));
  EXPECT_EQ(event.cache_salt, "tenant");
  EXPECT_EQ(event.lora_name, "");
  const Decoded named(stored({{"type", "BlockStored"},
                              {"block_hashes", {1}},
                              {"parent_block_hash", nullptr},
                              {"token_ids", {9}},
                              {"block_size", 1},
                              {"lora_id", nullptr},
                              {"medium", "GPU"},
                              {"cache_salt", "tenant"},
                              {"session_id", nullptr}}));
  EXPECT_EQ(named.only().cache_salt, "tenant");
}

TEST(KvEvents, MapsComeInAnyOrderWithAnyHeadAndUnknownKeys) {
  // {"kv_cache_spec_kind": "mamba", "new": {"a": [1, {}]}, "block_hashes": [1, 2], 7: nil,
  //  "type": "BlockRemoved"}, with its number of pairs in 16 and in 32 bits.
  const std::string pairs = pack("kv_cache_spec_kind") + pack("mamba") + pack("new") +
                            pack({{"a", {1, Json::object()}}}) + pack("block_hashes") +
                            pack({1, 2}) + pack(7) + pack(nullptr) + pack("type") +
                            pack("BlockRemoved");
  const std::string front = from_hex("92 cb3ff8000000000000 91");
  for (const char* head : {"85", "de0005", "df00000005"}) {
    const Decoded decoded(front + from_hex(head) + pairs);
    EXPECT_EQ(decoded.only().kind, KvEventKind::kRemoved) << head;
    EXPECT_EQ(decoded.only().hashes.size(), 2U);
  }
}

TEST(KvEvents, UnknownKindsBetweenKnownOnesArePassedOverAndCounted) {
  const Decoded decoded(batch({{"BlockRemoved", {1}},
                               {"BlocksDreamtOf", "no hashes", 2},
                               {{"block_hashes", "of another type"}, {"type", "TierMoved"}},
                               {{"type", 7}},
                               {"AllBlocksCleared"}}));
  ASSERT_FALSE(decoded.fault);
  ASSERT_EQ(decoded.batch.events.size(), 2U);
  EXPECT_EQ(decoded.batch.events[1].kind, KvEventKind::kCleared);
  EXPECT_EQ(decoded.batch.unknown_events, 3U);
}

TEST(KvEvents, HashesAreIntegersOfAnyWidthAndSignOrDigests) {
  const std::string digest16(16, '\x11');
  const std::string hashes = from_hex("95 05 d3ffffffffffffffff cfffffffffffffffff c410") +
                             digest16 + from_hex("c420") + std::string(24, 'x') +
                             std::string(8, '\0');
  const std::string payload =
      from_hex("92 00 91 93") + pack("BlockStored") + hashes + from_hex("c408 0000000000000009");
  const Decoded decoded(payload);
  const KvEvent& event = decoded.only();
  const std::vector<std::uint64_t> expected{5, ~0ULL, ~0ULL, 0x1111111111111111, 0};
  EXPECT_TRUE(
      std::equal(expected.begin(), expected.end(), event.hashes.begin(), event.hashes.end()));
  EXPECT_EQ(event.parent, 9U);
  const Decoded shortened(from_hex("92 00 91 92") + pack("BlockStored") + from_hex("91 c402 0000"));
  EXPECT_EQ(shortened.fault->error, KvDecodeError::kWrongType);
}

TEST(KvEvents, TokensOfEveryWidthAreReadAndOddOnesMakeThemUnreadable) {
  Random random(11);
  for (int round = 0; round < 300; ++round) {
    Json tokens = Json::array();
    std::vector<std::uint32_t> expected;
    for (std::uint64_t left = random.below(40); left > 0; --left) {
      expected.push_back(static_cast<std::uint32_t>(random.next() >> (32 + random.below(32))));
      tokens.push_back(expected.back());
    }
    const Decoded decoded(stored({"BlockStored", {1}, nullptr, tokens}));
    const auto& seen = decoded.only().tokens;
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), seen.begin(), seen.end()));
  }
  for (const Json& odd : {Json(-1), Json(std::uint64_t{1} << 32), Json({1, 2}), Json(nullptr)}) {
    Json tokens = Json::array({1, odd, 2});
    tokens.insert(tokens.end(), 20, 3);
    const Decoded decoded(stored({"BlockStored", {1}, nullptr, tokens, 2}));
    EXPECT_FALSE(decoded.only().tokens_readable);
    EXPECT_TRUE(decoded.only().tokens.empty());
    EXPECT_EQ(decoded.only().block_size, 2U);
  }
}

TEST(KvEvents, ExtraKeysAreReadBlockByBlock) {
  const Json keys = {{"adapter", Json::array({"image", -3}), "salt"},
                     nullptr,
                     {7, Json::binary({1, 2})},
                     {Json::array({"a", "b", 3})}};
  const Decoded decoded(stored(
      {"BlockStored", {1, 2, 3, 4}, nullptr, Json::array(), 0, nullptr, nullptr, nullptr, keys}));
  KvExtraKeys extras = decoded.only().extra_keys;
  EXPECT_FALSE(extras.empty());
  using Kind = KvExtraItem::Kind;
  KvExtraItem item;
  ASSERT_TRUE(extras.next_block());
  ASSERT_TRUE(extras.next(item));
  EXPECT_EQ(item.text, "adapter");
  ASSERT_TRUE(extras.next(item));
  EXPECT_EQ(item.kind, Kind::kMedia);
  EXPECT_EQ(item.text, "image");
  EXPECT_EQ(item.number, -3);
  ASSERT_TRUE(extras.next_block());  // The salt was not asked for.
  EXPECT_FALSE(extras.next(item));
  ASSERT_TRUE(extras.next_block());
  ASSERT_TRUE(extras.next(item));
  EXPECT_EQ(item.kind, Kind::kNumber);
  ASSERT_TRUE(extras.next(item));
  EXPECT_EQ(item.kind, Kind::kBytes);
  ASSERT_TRUE(extras.next_block());
  ASSERT_TRUE(extras.next(item));
  EXPECT_EQ(item.kind, Kind::kOther);
  EXPECT_FALSE(extras.next_block());
}

TEST(KvEvents, FaultsNameTheByte) {
  const std::string good = stored({"BlockStored", {1}, nullptr, {1, 2}, 2});
  for (std::size_t size = 0; size < good.size() - 1; ++size) {
    const Decoded decoded(good.substr(0, size));
    ASSERT_TRUE(decoded.fault) << size;
    EXPECT_LE(decoded.fault->offset, size);
    EXPECT_TRUE(decoded.batch.events.empty());
  }
  EXPECT_EQ(Decoded(good + "x").fault->error, KvDecodeError::kTrailingBytes);
  EXPECT_EQ(Decoded(good + "x").fault->offset, good.size());
  EXPECT_EQ(Decoded(from_hex("92 00 dd ffffffff")).fault->error, KvDecodeError::kLengthLies);
  EXPECT_EQ(Decoded(from_hex("92 00 dd ffffffff")).fault->offset, 2U);
  EXPECT_EQ(Decoded(from_hex("92 00 91 91 c1")).fault->error, KvDecodeError::kWrongType);
  EXPECT_EQ(Decoded(stored({"BlockStored", "text"})).fault->error, KvDecodeError::kWrongType);
  EXPECT_EQ(Decoded(batch({5})).fault->error, KvDecodeError::kWrongType);
  KvDecodeLimits small;
  small.payload_bytes_max = 10;
  KvBatch out;
  EXPECT_EQ(KvEventDecoder(small).decode(good, out)->error, KvDecodeError::kPayloadTooLarge);
  small = {};
  small.events_max = 1;
  EXPECT_EQ(
      KvEventDecoder(small).decode(batch({{"AllBlocksCleared"}, {"AllBlocksCleared"}}), out)->error,
      KvDecodeError::kTooManyEvents);
  small = {};
  small.hashes_max = 3;
  const Json two = {"BlockRemoved", {1, 2}};
  EXPECT_FALSE(KvEventDecoder(small).decode(stored(two), out));
  EXPECT_EQ(KvEventDecoder(small).decode(batch(Json::array({two, two})), out)->error,
            KvDecodeError::kTooManyHashes);
}

TEST(KvEvents, AnEventOfTenThousandBlocksIsRead) {
  std::vector<std::uint64_t> hashes(10'000, 1);
  std::vector<std::uint32_t> tokens(160'000, 151'000);
  KvEvent event;
  event.hashes = hashes;
  event.tokens = tokens;
  event.block_size = 16;
  KvEventsWriter writer(KvEncoding::kMaps);
  writer.add(event);
  std::string payload;
  writer.finish(0, 1, payload);
  const Decoded decoded(payload);
  EXPECT_EQ(decoded.only().tokens.size(), tokens.size());
  EXPECT_EQ(decoded.only().tokens.back(), 151'000U);
  EXPECT_TRUE(decoded.only().extra_keys.empty());
}

}  // namespace
}  // namespace fairlead::codec
