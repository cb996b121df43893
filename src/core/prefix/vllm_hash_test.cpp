// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/vllm_hash.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "core/codec/kv_events_writer.h"
#include "core/codec/testing/kv_frames.h"
#include "core/prefix/kv_hash_audit.h"

namespace fairlead::prefix {
namespace {

using codec::from_hex;
using codec::KvEvent;
using Tokens = std::vector<std::uint32_t>;
using enum VllmHashAlgorithm;

std::string hex(const BlockDigest& digest) {
  std::string text;
  for (const std::uint8_t byte : digest.view()) text += fmt::format("{:02x}", byte);
  return text;
}

// The first blocks of a chain over tokens that count up.
std::vector<std::uint64_t> chain(const VllmHasher& hasher, std::size_t blocks) {
  std::vector<std::uint64_t> hashes;
  BlockDigest digest = hasher.none();
  for (std::size_t i = 0; i < blocks; ++i) {
    Tokens tokens(16);
    std::iota(tokens.begin(), tokens.end(), static_cast<std::uint32_t>(16 * i));
    digest = hasher.block(digest, tokens);
    hashes.push_back(digest.tail());
  }
  return hashes;
}

BlockDigest digest_of(std::string_view bytes) {
  BlockDigest digest;
  digest.size = bytes.size();
  std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
  return digest;
}

TEST(VllmHash, SerialisesAsPythonDoes) {
  const VllmHasher cbor(kSha256Cbor, "0");
  const VllmHasher pickle(kSha256, "0");
  EXPECT_EQ(
      cbor.serialise(digest_of("\xaa\xaa"), Tokens{1, 23, 24, 255, 256, 65535, 65536, 151644}, {}),
      from_hex("8342aaaa880117181818ff19010019ffff1a000100001a0002505cf6"));
  const BlockDigest parent = digest_of("\xaa\xaa\xaa\xaa");
  EXPECT_EQ(pickle.serialise(parent, Tokens{1, 255, 256, 70000}, {}),
            from_hex("8005951a000000000000004304aaaaaaaa94284b014bff4d00014a7011010074944e87942e"));
  const std::vector<HashTerm> alice{HashTerm::of("Alice")};
  EXPECT_EQ(pickle.serialise(parent, Tokens{1, 2}, alice),
            from_hex("8005951a000000000000004304aaaaaaaa944b014b0286948c05416c69636594859487942e"));
}

TEST(VllmHash, APublicChainIsReproduced) {
  // Of Qwen3-0.6B with PYTHONHASHSEED 42 and sha256_cbor, as a public test of llm-d has it.
  const VllmHasher hasher(kSha256Cbor, "42");
  EXPECT_EQ(hex(hasher.none()), "9fa6eb003f14425eb9c8e6baacfbcaab26257357b829c7bfa74ffcc4f31c1780");
  const Tokens first{2082, 1113, 2142, 374,   264, 4948, 19128, 323,
                     7203, 429,  374,  66351, 938, 315,  11198, 323};
  const Tokens second{59415, 678, 90505, 11,   54263, 533,  7586, 315,
                      28922, 13,  1527,  1113, 2142,  6738, 369,  279};
  const BlockDigest digest = hasher.block(hasher.none(), first);
  EXPECT_EQ(hex(digest), "7235f837d217eb40003197e4e27040edecc66c7d7fe49f86f5b600d19aef97ac");
  EXPECT_EQ(digest.tail(), 17705339885301241772U);
  EXPECT_EQ(hasher.block(digest, second).tail(), 13360521540053240825U);
  const std::vector<HashTerm> alice{HashTerm::of("Alice")};
  const BlockDigest adapted = hasher.block(hasher.none(), first, alice);
  EXPECT_EQ(adapted.tail(), 9643097150530800701U);
  EXPECT_EQ(hasher.block(adapted, second, alice).tail(), 11170191873018355659U);
}

TEST(VllmHash, SeedsAndAlgorithmsGiveTheirChains) {
  using Hashes = std::vector<std::uint64_t>;
  EXPECT_EQ(chain(VllmHasher(kSha256Cbor, kVllmFixedSeed), 3),
            (Hashes{2233398808101521225U, 17911472383915781900U, 554445467503876716U}));
  EXPECT_EQ(chain(VllmHasher(kSha256Cbor, "0"), 3),
            (Hashes{12687895063098490012U, 1814341696565857452U, 2713165534665270607U}));
  EXPECT_EQ(chain(VllmHasher(kSha256Cbor, "42"), 3),
            (Hashes{2863503375995570957U, 13957787785847563040U, 4947714200740626492U}));
  EXPECT_EQ(chain(VllmHasher(kSha256, kVllmFixedSeed), 2),
            (Hashes{3262291359910021016U, 7142137847444424233U}));
  EXPECT_EQ(chain(VllmHasher(kSha256, "0"), 2),
            (Hashes{7982712666671721126U, 12675106281628537544U}));
  EXPECT_EQ(hex(VllmHasher(kSha256, kVllmFixedSeed).none()),
            "066b1e8987e027138e98701c46128929378935f9b6cd1549105ae6b4f0d71198");
  EXPECT_EQ(hex(VllmHasher(kXxhashCbor, "42").none()), "a9d2e63407fce1a26c9dc9d7fa2d7caf");
}

TEST(VllmHash, ExtrasAreHashed) {
  const std::vector<HashTerm> alice{HashTerm::of("Alice")};
  const std::vector<HashTerm> all{HashTerm::of("Alice"),
                                  HashTerm::tuple({HashTerm::of("img0"), HashTerm::of_number(3)}),
                                  HashTerm::of("salt")};
  Tokens tokens(16);
  std::iota(tokens.begin(), tokens.end(), 0U);
  const auto first = [&](std::string_view seed, std::span<const HashTerm> extras) {
    const VllmHasher hasher(kSha256Cbor, seed);
    return hasher.block(hasher.none(), tokens, extras).tail();
  };
  EXPECT_EQ(first(kVllmFixedSeed, alice), 14222782266504867348U);
  EXPECT_EQ(first("0", alice), 2655401514396594696U);
  EXPECT_EQ(first("42", alice), 4083386922566575403U);
  EXPECT_EQ(first(kVllmFixedSeed, all), 10599113231308725150U);
  EXPECT_EQ(first("0", all), 16613192248612336254U);
  EXPECT_EQ(first("42", all), 16106409399934346132U);
}

TEST(VllmHash, SglangsChainIsReproduced) {
  std::vector<std::uint64_t> hashes;
  BlockDigest digest;
  for (std::uint32_t block = 0; block < 3; ++block) {
    Tokens tokens(16);
    std::iota(tokens.begin(), tokens.end(), 16 * block + 1);
    digest = sglang_block(digest, tokens);
    hashes.push_back(sglang_event_hash(digest));
  }
  EXPECT_EQ(hashes, (std::vector<std::uint64_t>{8635429971592222890U, 1256577331724852459U,
                                                5689809685380680247U}));
  EXPECT_EQ(static_cast<std::int64_t>(sglang_event_hash(sglang_block({}, Tokens{0}))),
            -2360060374177730597);
}

// The events of a capture, one after the other.
template <class Use>
void for_each_event(const std::string& capture, const Use& use) {
  codec::KvEventDecoder decoder;
  for (const codec::KvMessage& message : codec::read_kv_messages(capture)) {
    codec::KvBatch batch;
    if (message.back().empty()) continue;
    ASSERT_FALSE(decoder.decode(message.back(), batch));
    for (const KvEvent& event : batch.events) use(event);
  }
}

struct Capture {
  const char* name;
  VllmHashAlgorithm algorithm;
  std::string_view seed;
  std::size_t blocks;
};
constexpr Capture kCaptures[] = {
    {"v0.32.0-b128-cache-salt", kSha256Cbor, "0", 6},
    {"v0.32.0-b32-16blocks-eviction", kSha256Cbor, "0", 35},
    {"v0.32.0-b32-16blocks-decode-growth", kSha256Cbor, "0", 3},
    {"v0.32.0-b32-noseed-sha256pickle-cache-salt", kSha256, kVllmFixedSeed, 6},
    {"v0.32.0-b32-bytes-xxhash-seed42-cache-salt", kXxhashCbor, "42", 6},
    {"v0.32.0-b32-bytes-xxhash-seed42-replay-from0-dealer", kXxhashCbor, "42", 27}};

TEST(VllmHash, EveryCapturedBlockIsReproduced) {
  for (const Capture& capture : kCaptures) {
    SCOPED_TRACE(capture.name);
    const VllmHasher hasher(capture.algorithm, capture.seed);
    std::map<std::uint64_t, BlockDigest> known;
    std::size_t blocks = 0;
    for_each_event(capture.name, [&](const KvEvent& event) {
      if (event.kind != codec::KvEventKind::kStored) return;
      BlockDigest digest = event.parent ? known[*event.parent] : hasher.none();
      codec::KvExtraKeys extras = event.extra_keys;
      for (std::size_t i = 0; i < event.hashes.size(); ++i) {
        std::vector<HashTerm> terms;
        extras.next_block();
        for (codec::KvExtraItem item; extras.next(item);) {
          terms.push_back(HashTerm::tuple({HashTerm::of("cache_salt"), HashTerm::of(item.text)}));
        }
        const auto tokens = event.tokens.subspan(i * event.block_size, event.block_size);
        digest = hasher.block(digest, tokens, terms);
        EXPECT_EQ(digest.tail(), event.hashes[i]);
        known[event.hashes[i]] = digest;
        ++blocks;
      }
    });
    EXPECT_EQ(blocks, capture.blocks);
  }
}

TEST(KvHashAudit, FindsOutHowAnEngineHashes) {
  for (const Capture& capture : kCaptures) {
    SCOPED_TRACE(capture.name);
    KvHashAudit audit(std::nullopt);
    for_each_event(capture.name, [&audit](const KvEvent& event) { audit.check(event); });
    EXPECT_EQ(audit.verdict(), KvHashVerdict::kAgrees);
    EXPECT_EQ(audit.describe(), "");
    ASSERT_TRUE(audit.domain());
    EXPECT_EQ(audit.domain()->algorithm, capture.algorithm);
    EXPECT_EQ(audit.domain()->seed, capture.seed);
    EXPECT_GT(audit.checked(), 0U);
    EXPECT_EQ(audit.mismatched(), 0U);
  }
}

TEST(KvHashAudit, SaysWhatIsSetUpOtherwise) {
  const auto audited = [](const std::string& seed) {
    KvHashAudit audit(seed);
    for_each_event("v0.32.0-b32-16blocks-eviction",
                   [&audit](const KvEvent& event) { audit.check(event); });
    return audit;
  };
  const KvHashAudit seed = audited("4711");
  EXPECT_EQ(seed.verdict(), KvHashVerdict::kOtherSeed);
  EXPECT_NE(seed.describe().find("the seed \"0\", not \"4711\""), std::string::npos);
  EXPECT_EQ(audited("0").verdict(), KvHashVerdict::kAgrees);
}

TEST(KvHashAudit, AnUnknownSeedIsPrivateUntilThePublisherRestarts) {
  const Tokens tokens(16, 7);
  const std::vector<std::uint64_t> hashes{1};
  KvEvent event;
  event.hashes = hashes;
  event.tokens = tokens;
  event.block_size = 16;
  KvHashAudit audit(std::nullopt);
  audit.check(event);
  EXPECT_EQ(audit.verdict(), KvHashVerdict::kPrivate);
  EXPECT_NE(audit.describe().find("PYTHONHASHSEED"), std::string::npos);
  EXPECT_EQ(audit.mismatched(), 1U);
  audit.reset();
  EXPECT_EQ(audit.verdict(), KvHashVerdict::kUnchecked);
  event.lora_name = "adapter";  // Its path is hashed, and not told.
  audit.check(event);
  event.lora_name = "";
  const std::string nested = from_hex("91 91 91 91 01");  // [[[[1]]]]
  event.extra_keys = codec::KvExtraKeys(nested);
  audit.check(event);  // What was hashed there is not known.
  event.extra_keys = {};
  event.parent = 5;
  audit.check(event);
  EXPECT_EQ(audit.verdict(), KvHashVerdict::kUnchecked);
}

TEST(TokenAudit, ATemplateThatDiffersIsNoticed) {
  TokenAudit audit;
  for (int i = 0; i < 20; ++i) audit.note_prompt(100, 100);
  EXPECT_EQ(audit.describe(), "");
  for (int i = 0; i < 5; ++i) audit.note_prompt(100, 104);
  EXPECT_NE(audit.describe().find("5 of 25 prompts"), std::string::npos);
  TokenAudit blocks;
  for (int i = 0; i < 10; ++i) blocks.note_blocks(3, 0);
  blocks.note_blocks(0, 0);
  EXPECT_NE(blocks.describe().find("10 of 10 prompts"), std::string::npos);
}

}  // namespace
}  // namespace fairlead::prefix
