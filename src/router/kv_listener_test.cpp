// SPDX-License-Identifier: Apache-2.0
#include "router/kv_listener.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <numeric>

#include "core/codec/kv_events_writer.h"
#include "core/prefix/vllm_hash.h"
#include "io/net/testing/loop_fixture.h"
#include "router/testing/fleet_fixture.h"
#include "router/testing/telling_engine.h"

namespace fairlead::router {
namespace {

using prefix::Trust;

using testing::TellingEngine;

constexpr std::uint32_t kBlock = testing::kToldBlock;

class KvListenerTest : public ::testing::Test {
 protected:
  KvListenerTest() { settings_.topic_filter.clear(); }
  void open() {
    auto listener = KvListener::create(settings_, 5, log_, registry_, audits_);
    ASSERT_TRUE(listener) << listener.error().message;
    listener_ = std::move(*listener);
    auto context = net::ZmqContext::create();
    ASSERT_TRUE(context);
    context_ = std::move(*context);
  }
  TellingEngine& add_engine() {
    engines_.push_back(std::make_unique<TellingEngine>(context_, listener_->loop()));
    TellingEngine& engine = *engines_.back();
    model::Endpoint endpoint;
    endpoint.ref = {static_cast<std::uint32_t>(engines_.size() - 1), 0};
    endpoint.name = fmt::format("e{}", endpoint.ref.slot);
    endpoint.host = "127.0.0.1";
    endpoint.labels = engine.labels();
    pool_.endpoints.push_back(endpoint);
    listener_->take_pool(pool_);
    return engine;
  }
  std::vector<std::uint64_t> prompt(std::uint64_t blocks, std::string_view adapter = {}) {
    std::vector<std::uint32_t> tokens(blocks * kBlock);
    std::iota(tokens.begin(), tokens.end(), 0);
    std::vector<std::uint64_t> keys(blocks);
    const std::uint64_t root = listener_->keys().root(
        {.model = {}, .adapter = adapter, .cache_salt = {}, .block_tokens = kBlock});
    listener_->keys().keys(root, tokens, kBlock, keys);
    return keys;
  }
  prefix::ToldBlocks told(std::uint32_t slot, std::uint64_t blocks = 10,
                          std::string_view adapter = {}) {
    std::vector<prefix::ToldBlocks> out(4);
    listener_->knowledge().told(prompt(blocks, adapter), out, scratch_);
    return out[slot];
  }
  bool until(const std::function<bool()>& effect) {
    return net::testing::run_until(listener_->loop(), effect);
  }
  bool holds(std::uint32_t slot, std::uint32_t blocks, Trust trust = Trust::kTrusted) {
    return until([&] {
      const prefix::ToldBlocks seen = told(slot);
      return seen.blocks == blocks && seen.trust == trust;
    });
  }

  double sum(const std::string& metric) const {
    const std::string text = registry_.expose();
    const std::size_t at = text.find('\n' + metric + ' ');
    return at == std::string::npos ? -1 : std::stod(text.substr(at + 2 + metric.size()));
  }

  scheduling::KvEventSettings settings_;
  testing::CapturedLog sink_;
  Log log_{sink_, LogLevel::kInfo};
  MetricRegistry registry_;
  EngineAudits audits_{registry_};
  model::PoolSnapshot pool_;
  prefix::ToldScratch scratch_;
  std::shared_ptr<net::ZmqContext> context_;
  std::unique_ptr<KvListener> listener_;
  std::vector<std::unique_ptr<TellingEngine>> engines_;
};

TEST_F(KvListenerTest, WhatEachEngineTellsIsKnownOfItAlone) {
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& a = add_engine();
  TellingEngine& b = add_engine();
  EXPECT_EQ(told(0).trust, Trust::kAbsent) << "it told nothing yet";
  a.store(0, 4);
  ASSERT_TRUE(holds(0, 4));
  a.store(4, 2);
  ASSERT_TRUE(holds(0, 6));
  b.store(0, 3);
  ASSERT_TRUE(holds(1, 3));
  EXPECT_EQ(told(0, 2).blocks, 2U);
  a.remove(5);
  ASSERT_TRUE(holds(0, 5));
  a.clear();
  ASSERT_TRUE(holds(0, 0));
  EXPECT_EQ(told(1).blocks, 3U);
  a.store(0, 1);
  ASSERT_TRUE(holds(0, 1)) << "the row changed hands";
  a.store(0, 2, "GPU", kBlock, "sql");
  ASSERT_TRUE(until([&] { return told(0, 10, "sql").blocks == 2; }));
  EXPECT_EQ(told(0).blocks, 1U) << "an adapter's blocks are its own";
}

TEST_F(KvListenerTest, HostMemoryCountsLess) {
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& engine = add_engine();
  engine.store(0, 2);
  engine.store(0, 10, "CPU");
  ASSERT_TRUE(holds(0, 8)) << "ten at 0.8";
  engine.store(2, 8);
  ASSERT_TRUE(holds(0, 10));
}

TEST_F(KvListenerTest, AnEngineThatLeavesOrMovesIsForgotten) {
  ASSERT_NO_FATAL_FAILURE(open());
  add_engine().store(0, 4);
  ASSERT_TRUE(holds(0, 4));
  pool_.endpoints[0].ref.generation = 1;
  listener_->take_pool(pool_);
  EXPECT_EQ(told(0).trust, Trust::kAbsent) << "another one has its slot";
  EXPECT_EQ(told(0).blocks, 0U);
  // Asked for all that is kept, the publisher tells it anew.
  ASSERT_TRUE(holds(0, 4));
  pool_.endpoints.clear();
  listener_->take_pool(pool_);
  EXPECT_EQ(told(0).trust, Trust::kAbsent);
}

TEST_F(KvListenerTest, ARestartIsKnownAtTheFirstEvent) {
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& engine = add_engine();
  engine.store(0, 8);
  ASSERT_TRUE(holds(0, 8));
  engine.publisher().restart();
  engine.store(0, 1);
  ASSERT_TRUE(holds(0, 1));
}

TEST_F(KvListenerTest, TheFirstToTellDecidesTheSizeOfBlocks) {
  ASSERT_NO_FATAL_FAILURE(open());
  EXPECT_EQ(listener_->block_tokens(), kBlock);
  TellingEngine& first = add_engine();
  TellingEngine& other = add_engine();
  first.store(0, 4, "GPU", 32);
  ASSERT_TRUE(until([&] { return listener_->block_tokens() == 32; }));
  ASSERT_TRUE(until([&] { return told(0).trust == Trust::kTrusted; }));
  other.store(0, 4, "GPU", 64);
  ASSERT_TRUE(until([&] { return !audits_.found(pool_).empty(); }));
  const Misconfiguration found = audits_.found(pool_).at(0);
  EXPECT_EQ(found.endpoint, "e1");
  EXPECT_EQ(found.check, EngineCheck::kBlockSize);
  EXPECT_TRUE(found.text.starts_with("its blocks have 64 tokens, those of e0 have 32"))
      << found.text;
  EXPECT_EQ(listener_->block_tokens(), 32U);
  EXPECT_EQ(told(1).trust, Trust::kAbsent);
}

TEST_F(KvListenerTest, MostOfThoseThatToldDecideTheSizeOfBlocks) {
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& odd = add_engine();
  odd.store(0, 4, "GPU", 32);
  ASSERT_TRUE(until([&] { return sink_.has("blocks of 32 tokens, as endpoint e0 has them"); }));
  add_engine().store(0, 4);
  ASSERT_TRUE(until([&] { return !audits_.found(pool_).empty(); }));
  EXPECT_EQ(audits_.found(pool_).at(0).endpoint, "e1");
  add_engine().store(0, 4);
  ASSERT_TRUE(holds(2, 4)) << "two are more than one";
  EXPECT_EQ(listener_->block_tokens(), kBlock);
  EXPECT_TRUE(until([&] { return told(1).trust == Trust::kTrusted; }));
  EXPECT_EQ(told(0).trust, Trust::kAbsent);
  ASSERT_EQ(audits_.found(pool_).size(), 1U);
  EXPECT_EQ(audits_.found(pool_).at(0).endpoint, "e0");
  EXPECT_TRUE(until([&] { return sink_.has("blocks of 16 tokens, as endpoint e1 has them"); }));
  pool_.endpoints.erase(pool_.endpoints.begin() + 1);
  listener_->take_pool(pool_);
  EXPECT_EQ(listener_->block_tokens(), 32U) << "one against one, and it told first";
  // Who tells of another size has told of it last.
  odd.store(0, 4, "GPU", 64);
  ASSERT_TRUE(until([&] { return listener_->block_tokens() == kBlock; }));
}

TEST_F(KvListenerTest, ASizeOfBlocksThatTheLastEngineTakesUpIsNoMisconfigurationAnyMore) {
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& first = add_engine();
  TellingEngine& other = add_engine();
  first.store(0, 4);
  ASSERT_TRUE(holds(0, 4));
  other.store(0, 4, "GPU", 32);
  ASSERT_TRUE(until([&] { return !audits_.found(pool_).empty(); }));
  first.publisher().restart();
  first.store(0, 4, "GPU", 32);
  ASSERT_TRUE(until([&] { return listener_->block_tokens() == 32; }));
  EXPECT_TRUE(audits_.found(pool_).empty()) << audits_.found(pool_).at(0).text;
  EXPECT_TRUE(until([&] { return told(1).trust == Trust::kTrusted; }));
}

TEST_F(KvListenerTest, ASizeOfBlocksIsGivenUpWithTheLastEngineThatHasIt) {
  ASSERT_NO_FATAL_FAILURE(open());
  add_engine().store(0, 4);
  ASSERT_TRUE(holds(0, 4));
  add_engine().store(0, 4, "GPU", 32);
  ASSERT_TRUE(until([&] { return !audits_.found(pool_).empty(); }));
  EXPECT_EQ(told(1).trust, Trust::kAbsent);
  pool_.endpoints.erase(pool_.endpoints.begin());
  listener_->take_pool(pool_);
  EXPECT_EQ(listener_->block_tokens(), 32U);
  EXPECT_TRUE(until([&] { return told(1).trust == Trust::kTrusted; }));
  EXPECT_TRUE(audits_.found(pool_).empty());
}

TEST_F(KvListenerTest, AnEndpointIsNotBelievedWhenOneOfItsRanksCannotBeListenedTo) {
  ASSERT_NO_FATAL_FAILURE(open());
  // Ranks have ports of their own, and this has none.
  net::ZmqPublisherOptions options;
  options.endpoint = fmt::format("ipc://@fairlead-kv-listener-test-{}", getpid());
  const auto engine = net::ZmqPublisher::create(context_, listener_->loop(), options);
  ASSERT_TRUE(engine) << engine.error().message;
  model::Endpoint endpoint;
  endpoint.name = "e0";
  endpoint.host = "127.0.0.1";
  endpoint.labels = {{"fairlead/kv-events", options.endpoint}, {"fairlead/kv-ranks", "2"}};
  pool_.endpoints.push_back(endpoint);
  listener_->take_pool(pool_);
  EXPECT_TRUE(sink_.has("endpoint e0: its KV events cannot be listened to: rank 1"));
  ASSERT_TRUE(until([&] {
    (*engine)->publish(std::string("\x92\x00\x90", 3));
    return sum("fairlead_kv_event_batches_total{result=\"applied\"}") > 0;
  }));
  EXPECT_EQ(told(0).trust, Trust::kAbsent);
}

TEST_F(KvListenerTest, AnIndexOfOtherBlocksIsNotTakenOver) {
  ASSERT_NO_FATAL_FAILURE(open());
  codec::RestartImage image;
  listener_->restore(image);
  EXPECT_FALSE(sink_.has("the saved KV index")) << "there is none";
  image.head.tokens_asked = kBlock * 2;
  listener_->restore(image);
  EXPECT_TRUE(sink_.has("the saved KV index is of blocks of 32 tokens, not 16"));
}

TEST_F(KvListenerTest, WhatIsPassedOverIsCountedAlsoOfAnEngineThatLeft) {
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& first = add_engine();
  TellingEngine& second = add_engine();
  const std::string passed_over = "fairlead_kv_event_passed_over_total{reason=\"unknown_medium\"}";
  first.store(0, 1, "TAPE");
  ASSERT_TRUE(until([&] { return sum(passed_over) == 1; }));
  pool_.endpoints.erase(pool_.endpoints.begin());
  listener_->take_pool(pool_);
  second.store(0, 1, "TAPE");
  EXPECT_TRUE(until([&] { return sum(passed_over) == 2; }));
}

TEST_F(KvListenerTest, DispatchesThatFindNoPlaceAreCounted) {
  settings_.expect_for = std::chrono::hours(1);
  ASSERT_NO_FATAL_FAILURE(open());
  const auto keys = prompt(1);
  for (int i = 0; i < 16 * 1024 + 3; ++i) listener_->expect({0, 0}, keys, {});
  EXPECT_TRUE(until([&] { return sum("fairlead_kv_expected_dropped_total") == 3; }));
}

TEST_F(KvListenerTest, HashesOfAnotherSeedThanWasSaidAreAMisconfiguration) {
  settings_.hash_seed = "42";
  ASSERT_NO_FATAL_FAILURE(open());
  add_engine().store(0, 4);
  ASSERT_TRUE(until([&] { return !audits_.found(pool_).empty(); }));
  EXPECT_EQ(audits_.found(pool_).at(0).check, EngineCheck::kHashes);
  EXPECT_NE(audits_.found(pool_).at(0).text.find("PYTHONHASHSEED"), std::string::npos);
}

TEST_F(KvListenerTest, WhatOneRanksHashesShowStandsWhateverTheOthersShow) {
  settings_.bind = "tcp://127.0.0.1:*";
  settings_.hash_seed = "42";
  ASSERT_NO_FATAL_FAILURE(open());
  const std::string text = sink_.text();
  const std::size_t at = text.find("tcp://");
  ASSERT_NE(at, std::string::npos);
  model::Endpoint endpoint;
  endpoint.name = "e0";
  endpoint.host = "127.0.0.1";
  endpoint.models = {"m"};
  endpoint.labels = {{"fairlead/kv-ranks", "2"}};
  pool_.endpoints.push_back(endpoint);
  listener_->take_pool(pool_);
  net::ZmqPublisherOptions options;
  options.endpoint = text.substr(at, text.find_first_of(" \n", at) - at);
  options.topic = fmt::format("127.0.0.1:{}@m", endpoint.port);
  const auto from = net::ZmqPublisher::create(context_, listener_->loop(), options);
  ASSERT_TRUE(from) << from.error().message;
  const prefix::VllmHasher hasher(prefix::VllmHashAlgorithm::kSha256Cbor, "42");
  std::vector<std::uint32_t> tokens(kBlock, 7);
  const std::array<std::uint64_t, 2> hashes{hasher.block(hasher.none(), tokens).tail(), 1234};
  const auto publish = [&](std::uint32_t rank) {
    codec::KvEvent event;
    event.hashes = std::span(hashes).subspan(rank, 1);
    event.tokens = tokens;
    event.block_size = kBlock;
    codec::KvEventsWriter writer(codec::KvEncoding::kMaps);
    writer.add(event);
    std::string payload;
    writer.finish(1, rank, payload);
    (*from)->publish(std::move(payload));
  };
  ASSERT_TRUE(until([&] {
    publish(1);
    return !audits_.found(pool_).empty();
  }));
  EXPECT_TRUE(audits_.found(pool_).at(0).text.starts_with("rank 1: "));
  const double applied = sum("fairlead_kv_event_batches_total{result=\"applied\"}");
  publish(0);
  ASSERT_TRUE(until([&] {
    return sum("fairlead_kv_event_batches_total{result=\"applied\"}") > applied &&
           sum("fairlead_kv_event_blocks_total{kind=\"stored\"}") > applied;
  }));
  EXPECT_EQ(audits_.found(pool_).size(), 1U) << "the first rank's hashes are well";
}

TEST_F(KvListenerTest, AnEngineThatHashesOtherwiseEveryTimeIsLoggedOnce) {
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& engine = add_engine();
  for (std::uint64_t i = 1; i < 4; ++i) {
    engine.publisher().restart();
    engine.store(0, i);
    const double seen = sum("fairlead_kv_index_stored_blocks_total");
    ASSERT_TRUE(until([&] { return sum("fairlead_kv_index_stored_blocks_total") > seen; }));
  }
  EXPECT_EQ(sink_.count("PYTHONHASHSEED"), 1);
}

TEST_F(KvListenerTest, AnEngineAtWhoseAddressNobodyPublishesIsAMisconfiguration) {
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& heard = add_engine();
  add_engine();
  for (model::Endpoint& endpoint : pool_.endpoints) endpoint.health = model::Health::kHealthy;
  pool_.endpoints[1].labels = {{"fairlead/kv-events", "tcp://127.0.0.1:1"}};
  listener_->take_pool(pool_);
  heard.store(0, 1);
  ASSERT_TRUE(until([&] { return told(0).trust == Trust::kTrusted; }));
  const Time now = listener_->loop().now();
  listener_->check_links(now);
  EXPECT_TRUE(audits_.found(pool_).empty());
  listener_->check_links(now + std::chrono::seconds(11));
  ASSERT_EQ(audits_.found(pool_).size(), 1U);
  const Misconfiguration found = audits_.found(pool_).at(0);
  EXPECT_EQ(found.endpoint, "e1");
  EXPECT_EQ(found.check, EngineCheck::kEvents);
  EXPECT_NE(found.text.find("nobody answers at tcp://127.0.0.1:1"), std::string::npos);
}

TEST_F(KvListenerTest, ASeedOfItsOwnDoesNoHarm) {
  ASSERT_NO_FATAL_FAILURE(open());
  add_engine().store(0, 4);
  ASSERT_TRUE(until([&] { return sink_.has("PYTHONHASHSEED"); }));
  EXPECT_TRUE(audits_.found(pool_).empty());
}

TEST_F(KvListenerTest, WhatWasSentIsExpectedUntilItsTimeIsOver) {
  settings_.expect_for = std::chrono::milliseconds(200);
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& engine = add_engine();
  engine.store(0, 2);
  ASSERT_TRUE(holds(0, 2));
  listener_->expect({0, 0}, prompt(7), listener_->loop().now());
  listener_->expect({0, 1}, prompt(9), listener_->loop().now());
  ASSERT_TRUE(holds(0, 7)) << "of the one that is there, not of one that left";
  ASSERT_TRUE(holds(0, 2)) << "it never told";
  listener_->expect({0, 0}, prompt(7), listener_->loop().now());
  ASSERT_TRUE(holds(0, 7));
  engine.store(2, 5);
  ASSERT_TRUE(until([&] { return told(0, 20).trust == Trust::kTrusted; }));
  EXPECT_EQ(told(0).blocks, 7U);
}

TEST_F(KvListenerTest, WhatTheEngineToldOfItKnowsBetter) {
  settings_.expect_for = std::chrono::hours(1);
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& engine = add_engine();
  engine.store(0, 2);
  ASSERT_TRUE(holds(0, 2));
  for (const bool told_before : {false, true}) {
    listener_->expect({0, 0}, prompt(7), listener_->loop().now());
    if (!told_before) engine.store(2, 5);
    ASSERT_TRUE(holds(0, 7)) << told_before;
    engine.remove(6);
    ASSERT_TRUE(holds(0, 6)) << told_before;
    engine.store(6, 1);
    ASSERT_TRUE(holds(0, 7)) << told_before;
  }
}

TEST_F(KvListenerTest, WhatWasSentIsNotExpectedOfAnEngineThatLostItsCache) {
  settings_.expect_for = std::chrono::hours(1);
  ASSERT_NO_FATAL_FAILURE(open());
  TellingEngine& engine = add_engine();
  TellingEngine& other = add_engine();
  engine.store(0, 2);
  other.store(0, 1);
  for (int round = 0; round < 2; ++round) {
    listener_->expect({0, 0}, prompt(7), listener_->loop().now());
    listener_->expect({1, 0}, prompt(5), listener_->loop().now());
    ASSERT_TRUE(holds(0, 7));
    ASSERT_TRUE(holds(1, 5));
    engine.clear();
    ASSERT_TRUE(holds(0, 0));
  }
  EXPECT_EQ(told(1).blocks, 5U) << "the other one lost nothing";
  listener_->expect({0, 0}, prompt(7), listener_->loop().now());
  ASSERT_TRUE(holds(0, 7));
  engine.publisher().restart();
  engine.store(0, 1);
  ASSERT_TRUE(holds(0, 1));
}

TEST_F(KvListenerTest, ALoopThatIsBusyTakesTheNewestEndpointsLater) {
  ASSERT_NO_FATAL_FAILURE(open());
  while (listener_->loop().post([] {}) == net::Posted::kQueued) {
  }
  model::Endpoint endpoint;
  endpoint.host = "127.0.0.1";
  listener_->set_pool(std::make_shared<const model::PoolSnapshot>());
  TellingEngine engine(context_, listener_->loop());
  endpoint.labels = engine.labels();
  pool_.endpoints.push_back(endpoint);
  listener_->set_pool(std::make_shared<const model::PoolSnapshot>(pool_));
  engine.store(0, 3);
  EXPECT_TRUE(holds(0, 3));
}

TEST_F(KvListenerTest, EnginesMayConnectToUs) {
  settings_.bind = "tcp://127.0.0.1:*";
  settings_.topic_filter = "kv@";
  ASSERT_NO_FATAL_FAILURE(open());
  ASSERT_TRUE(sink_.has("engines publish their KV events to tcp://127.0.0.1:"));
}

TEST_F(KvListenerTest, AThreadOfItsOwnAnswersWhoeverAsks) {
  ASSERT_NO_FATAL_FAILURE(open());
  auto engine_loop = net::testing::make_loop();
  TellingEngine engine(context_, *engine_loop);
  model::Endpoint endpoint;
  endpoint.host = "127.0.0.1";
  endpoint.labels = {{"fairlead/kv-events", engine.publisher().endpoint()},
                     {"fairlead/kv-replay", engine.publisher().replay_endpoint()}};
  pool_.endpoints.push_back(endpoint);
  listener_->start();
  listener_->set_pool(std::make_shared<const model::PoolSnapshot>(pool_));
  for (std::uint64_t block = 0; block < 10; ++block) {
    engine.store(block, 1);
    ASSERT_TRUE(net::testing::run_until(*engine_loop, [&] {
      const prefix::ToldBlocks seen = told(0);
      return seen.trust == Trust::kTrusted && seen.blocks == block + 1;
    })) << block;
  }
  listener_->stop();
}

}  // namespace
}  // namespace fairlead::router
