// SPDX-License-Identifier: Apache-2.0
// What of a saved KV index is stale or odd: nobody that is there is believed for it.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/random.h"
#include "core/codec/kv_events_writer.h"
#include "core/codec/restart_file.h"
#include "io/net/testing/loop_fixture.h"
#include "io/net/zmq_publisher.h"
#include "router/kv_listener.h"
#include "router/testing/captured_log.h"

namespace fairlead::router {
namespace {

constexpr std::uint32_t kSavedBlock = 16;
constexpr std::uint32_t kSavedBlocks = 4;
constexpr std::uint64_t kSavedSeed = 5;

// Its endpoint's first batch: four blocks.
std::string first_batch() {
  std::array<std::uint64_t, kSavedBlocks> hashes{};
  std::iota(hashes.begin(), hashes.end(), 1000);
  std::array<std::uint32_t, std::size_t{kSavedBlocks} * kSavedBlock> tokens{};
  std::iota(tokens.begin(), tokens.end(), 0);
  codec::KvEvent event;
  event.hashes = hashes;
  event.tokens = tokens;
  event.block_size = kSavedBlock;
  codec::KvEventsWriter writer(codec::KvEncoding::kMaps);
  writer.add(event);
  std::string payload;
  writer.finish(1, 0, payload);
  return payload;
}

class NoIndex final : public prefix::EventStreamSink {
 public:
  prefix::BatchEffect apply(std::uint64_t, std::string_view) override {
    return prefix::BatchEffect::kApplied;
  }
  void forget() override {}
};

class KvRestoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    settings_.topic_filter.clear();
    auto listener = KvListener::create(settings_, kSavedSeed, log_, registry_, audits_);
    ASSERT_TRUE(listener) << listener.error().message;
    listener_ = std::move(*listener);
    auto context = net::ZmqContext::create();
    ASSERT_TRUE(context);
    net::ZmqPublisherOptions options;
    options.endpoint = options.replay_endpoint = "tcp://127.0.0.1:*";
    auto engine = net::ZmqPublisher::create(std::move(*context), listener_->loop(), options);
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = std::move(*engine);
    engine_->publish(first_batch());
  }
  // As saved of the engine when it had published its first batch.
  codec::RestartPublisher saved(std::uint32_t slot) const {
    NoIndex sink;
    prefix::EventStream stream(sink, {.has_replay = true});
    stream.on_batch(0, first_batch(), {});
    codec::RestartPublisher one;
    one.endpoint = "e0";
    one.events = engine_->endpoint();
    one.replay = engine_->replay_endpoint();
    one.next = stream.save()->next;
    one.witness = stream.save()->witness;
    one.complete = true;
    one.settled = one.next;
    one.slots = {slot};
    one.block_tokens = kSavedBlock;
    one.domain = 0;
    return one;
  }
  // `slot` holds the first `blocks` of the engine's.
  std::string image_bytes(std::uint32_t slot, std::uint16_t blocks,
                          const std::vector<codec::RestartPublisher>& publishers) {
    codec::RestartWriter writer;
    writer.add(codec::RestartHead{.key_seed = kSavedSeed,
                                  .tokens_asked = kSavedBlock,
                                  .tokens_told = kSavedBlock,
                                  .domains = 1});
    codec::RestartRun run;
    run.keys = prompt();
    run.hashes.resize(kSavedBlocks);
    for (std::uint32_t i = 0; i < kSavedBlocks; ++i) {
      run.hashes[i] = (1000 + i) ^ mix64(kSavedSeed);  // Salted by domain 0.
    }
    run.holders = {{static_cast<std::uint16_t>(slot), blocks}};
    writer.add(run);
    for (const codec::RestartPublisher& one : publishers) writer.add(one);
    writer.finish();
    return writer.take();
  }
  void restore(const std::string& bytes) {
    codec::RestartImage image;
    const auto fault = codec::read_restart(bytes, image);
    ASSERT_FALSE(fault) << fault->describe();
    listener_->restore(image);
  }
  void find_engine() {
    model::PoolSnapshot pool;
    model::Endpoint endpoint;
    endpoint.name = "e0";
    endpoint.host = "127.0.0.1";
    endpoint.labels = {{"fairlead/kv-events", engine_->endpoint()},
                       {"fairlead/kv-replay", engine_->replay_endpoint()}};
    pool.endpoints.push_back(endpoint);
    listener_->take_pool(pool);
  }
  std::vector<std::uint64_t> prompt() const {
    std::array<std::uint32_t, std::size_t{kSavedBlocks} * kSavedBlock> tokens{};
    std::iota(tokens.begin(), tokens.end(), 0);
    std::vector<std::uint64_t> keys(kSavedBlocks);
    const std::uint64_t root = listener_->keys().root(
        {.model = {}, .adapter = {}, .cache_salt = {}, .block_tokens = kSavedBlock});
    listener_->keys().keys(root, tokens, kSavedBlock, keys);
    return keys;
  }
  // Once the engine is trusted, what it is said to hold.
  std::uint32_t trusted_blocks() {
    std::array<prefix::ToldBlocks, 1> out{};
    prefix::ToldScratch scratch;
    EXPECT_TRUE(net::testing::run_until(listener_->loop(), [&] {
      listener_->knowledge().told(prompt(), out, scratch);
      return out[0].trust == prefix::Trust::kTrusted;
    }));
    return out[0].blocks;
  }
  std::string figure(const std::string& metric) const {
    const std::string text = registry_.expose();
    const std::size_t at = text.find('\n' + metric + ' ');
    if (at == std::string::npos) return {};
    const std::size_t from = at + 2 + metric.size();
    return text.substr(from, text.find('\n', from) - from);
  }

  scheduling::KvEventSettings settings_;
  testing::CapturedLog sink_;
  Log log_{sink_, LogLevel::kInfo};
  MetricRegistry registry_;
  EngineAudits audits_{registry_};
  std::unique_ptr<KvListener> listener_;
  std::unique_ptr<net::ZmqPublisher> engine_;
};

constexpr const char* kContinued = "fairlead_restart_streams_total{result=\"continued\"}";
constexpr const char* kAbsent = "fairlead_restart_streams_total{result=\"absent\"}";

TEST_F(KvRestoreTest, WhatWasSavedGoesOn) {
  restore(image_bytes(7, 3, {saved(7)}));
  find_engine();
  EXPECT_EQ(trusted_blocks(), 3U) << "as saved";
  EXPECT_EQ(figure(kContinued), "1");
}

TEST_F(KvRestoreTest, APublisherWhoseSlotIsAnothersAlreadyIsLearntAnew) {
  codec::RestartPublisher ghost = saved(7);
  ghost.endpoint = "ghost";
  restore(image_bytes(7, 3, {ghost, saved(7)}));
  find_engine();
  EXPECT_EQ(trusted_blocks(), kSavedBlocks);
  EXPECT_EQ(figure(kAbsent), "1");
  EXPECT_EQ(figure(kContinued), "0");
}

TEST_F(KvRestoreTest, APublisherThatHasASlotAndNoDomainIsLearntAnew) {
  codec::RestartPublisher odd = saved(7);
  odd.domain = codec::kRestartNone;
  restore(image_bytes(7, 3, {odd}));
  find_engine();
  EXPECT_EQ(trusted_blocks(), kSavedBlocks);
  EXPECT_EQ(figure(kAbsent), "1");
}

TEST_F(KvRestoreTest, APublisherAtAnotherAddressIsLearntAnew) {
  codec::RestartPublisher moved = saved(7);
  moved.events = "tcp://127.0.0.1:1";
  restore(image_bytes(7, 3, {moved}));
  find_engine();
  EXPECT_EQ(trusted_blocks(), kSavedBlocks);
  EXPECT_EQ(figure(kContinued), "0");
}

TEST_F(KvRestoreTest, AnEngineThatMadeAnotherBatchMeanwhileIsLearntAnew) {
  codec::RestartPublisher stale = saved(7);
  ++stale.witness;
  restore(image_bytes(7, 3, {stale}));
  find_engine();
  EXPECT_EQ(trusted_blocks(), kSavedBlocks);
  EXPECT_EQ(figure(kAbsent), "1");
}

TEST_F(KvRestoreTest, WhoDoesNotComeBackInTimeIsGivenUp) {
  restore(image_bytes(7, 3, {saved(7)}));
  const Time now = listener_->loop().now();
  listener_->check_resumable(now + std::chrono::seconds(50));
  EXPECT_EQ(figure(kAbsent), "0");
  listener_->check_resumable(now + std::chrono::minutes(2));
  EXPECT_EQ(figure(kAbsent), "1");
  find_engine();
  EXPECT_EQ(trusted_blocks(), kSavedBlocks) << "learnt anew";
  EXPECT_EQ(figure(kContinued), "0");
  EXPECT_TRUE(net::testing::run_until(listener_->loop(), [&] {
    return figure("fairlead_kv_index_stored_blocks_total") == std::to_string(3 + kSavedBlocks);
  })) << figure("fairlead_kv_index_stored_blocks_total");
}

TEST_F(KvRestoreTest, ADomainOfAnUnknownHashIsPassedOver) {
  codec::RestartImage image;
  image.head.tokens_asked = kSavedBlock;
  image.head.domains = 3;
  image.domains = {{.algorithm = 99, .seed = "0", .domain = 2}};
  listener_->restore(image);
  find_engine();
  EXPECT_EQ(trusted_blocks(), kSavedBlocks);
}

// The listener may end just when the saver's patience does.
TEST(KvSave, HasNotEndedWhileBytesAreLeft) {
  KvSave save(1 << 20);
  save.hand_over();
  save.writer().add(codec::RestartHead{});
  save.finish(KvSave::End::kWhole);
  EXPECT_EQ(save.ended(), KvSave::End::kNone);
  EXPECT_TRUE(save.await_bytes());
  EXPECT_EQ(save.ended(), KvSave::End::kWhole);
}

}  // namespace
}  // namespace fairlead::router
