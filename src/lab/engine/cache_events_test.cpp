// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/cache_events.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>

#include "core/tokens/estimate.h"
#include "io/net/testing/loop_fixture.h"
#include "lab/engine/engine_fleet.h"
#include "lab/engine/testing/engine_fixture.h"

namespace fairlead::engine {
namespace {

using codec::KvEventKind;
using net::testing::run_until;

TEST(KvEventsConfig, IsReadAsVllmReadsIt) {
  const auto config = parse_kv_events_config(
      R"({"enable_kv_cache_events": true, "publisher": "zmq", "endpoint": "tcp://*:1",
          "replay_endpoint": "tcp://*:2", "buffer_steps": 3, "hwm": 4, "max_queue_size": 5,
          "topic": "kv@{port}@{model}"})");
  ASSERT_TRUE(config && *config);
  const net::ZmqPublisherOptions& publisher = (*config)->publisher;
  EXPECT_EQ(publisher.endpoint, "tcp://*:1");
  EXPECT_EQ(publisher.replay_endpoint, "tcp://*:2");
  EXPECT_EQ(publisher.kept_max, 3U);
  EXPECT_EQ(publisher.queue_max, 4);
  for (const char* none : {"{}", R"({"enable_kv_cache_events": false})",
                           R"({"enable_kv_cache_events": true, "publisher": "null"})"}) {
    const auto off = parse_kv_events_config(none);
    EXPECT_TRUE(off && !*off) << none;
  }
  for (const char* wrong : {"", "[]", R"({"enable": true})", R"({"enable_kv_cache_events": 1})",
                            R"({"hwm": 0})", R"({"publisher": "kafka"})", R"({"topic": 5})"}) {
    EXPECT_FALSE(parse_kv_events_config(wrong)) << wrong;
  }
}

struct PublishedEvent {
  KvEventKind kind;
  std::vector<std::uint64_t> hashes;
  std::optional<std::uint64_t> parent;
  std::vector<std::uint32_t> tokens;
  std::string lora_name;
  std::vector<std::string> extras;  // Of all blocks.
};
using Batches = std::map<std::uint64_t, std::vector<PublishedEvent>>;

// Asks an engine for all that it has published.
class Replay final : private net::ZmqObserver {
 public:
  const std::string& topic() const { return topic_; }
  Batches ask(net::EventLoop& loop, const std::string& endpoint) {
    auto context = net::ZmqContext::create();
    auto socket = net::ZmqSocket::create(**context, loop, net::ZmqKind::kDealer, {}, *this);
    EXPECT_TRUE(socket && (*socket)->connect(endpoint));
    const std::string from(8, '\0');
    EXPECT_EQ((*socket)->send(std::array<std::string_view, 2>{"", from}),
              net::ZmqSocket::Sent::kSent);
    EXPECT_TRUE(run_until(loop, [this] { return ended_; }));
    return batches_;
  }

 private:
  void on_message(net::ZmqSocket&, std::span<const std::string_view> frames) override {
    ASSERT_EQ(frames.size(), 4U);
    std::uint64_t number = 0;
    for (const char byte : frames[2]) number = number << 8 | static_cast<std::uint8_t>(byte);
    ended_ = number == ~std::uint64_t{0};
    if (ended_) return;
    topic_ = frames[1];
    codec::KvBatch batch;
    ASSERT_FALSE(decoder_.decode(frames[3], batch));
    std::vector<PublishedEvent>& events = batches_[number];
    for (const codec::KvEvent& event : batch.events) {
      events.push_back({.kind = event.kind,
                        .hashes = {event.hashes.begin(), event.hashes.end()},
                        .parent = event.parent,
                        .tokens = {event.tokens.begin(), event.tokens.end()},
                        .lora_name = std::string(event.lora_name),
                        .extras = {}});
      codec::KvExtraKeys keys = event.extra_keys;
      while (keys.next_block()) {
        for (codec::KvExtraItem item; keys.next(item);) {
          events.back().extras.emplace_back(item.text);
        }
      }
    }
  }

  codec::KvEventDecoder decoder_;
  std::string topic_;
  Batches batches_;
  bool ended_ = false;
};

class CacheEventsTest : public EngineFixture {
 protected:
  void SetUp() override {
    options_.kv_events_config =
        R"({"enable_kv_cache_events": true, "endpoint": "tcp://127.0.0.1:*",
            "replay_endpoint": "tcp://127.0.0.1:*", "topic": "kv@{port}@{model}"})";
  }
  Batches published() {
    Replay replay;
    Batches batches = replay.ask(*loop_, engine().cache_events()->publisher().replay_endpoint());
    topic_ = replay.topic();
    return batches;
  }
  std::vector<PublishedEvent> events() {
    std::vector<PublishedEvent> all;
    for (const auto& [number, batch] : published()) {
      all.insert(all.end(), batch.begin(), batch.end());
    }
    return all;
  }
  std::string topic_;
};

TEST_F(CacheEventsTest, BlocksAreToldWithTheTokensOfPromptAndAnswer) {
  start();
  const std::string content(400, 'c');
  ASSERT_EQ(chat(R"("max_tokens": 40)", content).status, 200);
  std::vector<std::uint32_t> prompt;
  tokens::append_message_tokens("user", content, prompt);
  tokens::append_role_token("assistant", prompt);
  std::vector<std::uint32_t> told;
  std::optional<std::uint64_t> before;
  for (const PublishedEvent& event : events()) {
    EXPECT_EQ(event.kind, KvEventKind::kStored);
    EXPECT_EQ(event.parent, before);
    EXPECT_EQ(event.tokens.size(), event.hashes.size() * 16);
    told.insert(told.end(), event.tokens.begin(), event.tokens.end());
    before = event.hashes.back();
  }
  // The last token of an answer is not computed.
  EXPECT_EQ(told.size(), (prompt.size() + 39) / 16 * 16);
  EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), told.begin()));
  EXPECT_EQ(topic_, "kv@" + std::to_string(port_) + "@tiny");
  const std::size_t batches = published().size();
  ASSERT_EQ(chat(R"("max_tokens": 1)", content).status, 200);
  EXPECT_EQ(published().size(), batches);  // A full hit tells nothing.
}

TEST_F(CacheEventsTest, EvictionsAreToldTailFirst) {
  options_.profile.kv_tokens = 16 * 10;
  options_.profile.max_model_len = 128;
  start();
  for (const char letter : {'a', 'b', 'c'}) {
    ASSERT_EQ(chat(R"("max_tokens": 1)", std::string(400, letter)).status, 200);
  }
  std::vector<std::uint64_t> first;
  std::vector<std::uint64_t> removed;
  for (const PublishedEvent& event : events()) {
    if (event.kind == KvEventKind::kStored && first.empty()) first = event.hashes;
    if (event.kind != KvEventKind::kRemoved) continue;
    ASSERT_EQ(event.hashes.size(), 1U);
    removed.push_back(event.hashes[0]);
  }
  ASSERT_GE(removed.size(), first.size());
  EXPECT_TRUE(std::equal(first.rbegin(), first.rend(), removed.begin()));
}

TEST_F(CacheEventsTest, AResetIsToldWithTheNextStep) {
  start();
  ASSERT_EQ(chat(R"("max_tokens": 1)", std::string(200, 'x')).status, 200);
  ASSERT_EQ(client_->post(port_, "/reset_prefix_cache", "").status, 200);
  const std::size_t before = published().size();
  ASSERT_EQ(chat(R"("max_tokens": 1)", std::string(200, 'x')).status, 200);
  const Batches after = published();
  ASSERT_EQ(after.size(), before + 1);
  const std::vector<PublishedEvent>& last = after.rbegin()->second;
  ASSERT_EQ(last.size(), 2U);
  EXPECT_EQ(last[0].kind, KvEventKind::kCleared);
  EXPECT_EQ(last[1].kind, KvEventKind::kStored);
}

TEST_F(CacheEventsTest, AdaptersAndSaltsAreTold) {
  options_.adapters = {"sql"};
  options_.kv_events_encoding = codec::KvEncoding::kArrays;
  start();
  const std::string prompt = R"("max_tokens":1,"prompt":")" + std::string(200, 'x') + '"';
  const auto post = [&](const std::string& fields) {
    return client_->post(port_, "/v1/completions", "{" + fields + "," + prompt + "}").status;
  };
  ASSERT_EQ(post(R"("model":"tiny")"), 200);
  ASSERT_EQ(post(R"("model":"sql")"), 200);
  ASSERT_EQ(post(R"("model":"tiny","cache_salt":"tenant")"), 200);
  const std::vector<PublishedEvent> told = events();
  ASSERT_EQ(told.size(), 3U);
  EXPECT_TRUE(told[0].extras.empty());
  EXPECT_EQ(told[1].lora_name, "sql");
  EXPECT_EQ(told[1].extras, (std::vector<std::string>(told[1].hashes.size(), "sql")));
  EXPECT_EQ(told[2].extras, std::vector<std::string>{"tenant"});
  const std::set<std::uint64_t> firsts{told[0].hashes[0], told[1].hashes[0], told[2].hashes[0]};
  EXPECT_EQ(firsts.size(), 3U);
}

TEST_F(CacheEventsTest, ARestartNumbersAnewAndWhatIsLostCanBeReplayed) {
  start();
  ASSERT_EQ(chat(R"("max_tokens": 1)", std::string(200, 'x')).status, 200);
  ASSERT_EQ(client_->post(port_, "/reset", "").status, 200);
  EXPECT_TRUE(published().empty());
  fault(R"({"kind":"lose_events","count":1})");
  ASSERT_EQ(chat(R"("max_tokens": 1)", std::string(200, 'x')).status, 200);
  const Batches after = published();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after.begin()->first, 0U);
}

TEST_F(CacheEventsTest, ACrashClosesTheSocketsUntilTheEngineIsBack) {
  start();
  ASSERT_EQ(chat(R"("max_tokens": 1)", std::string(200, 'x')).status, 200);
  const std::string endpoint = engine().cache_events()->publisher().replay_endpoint();
  fault(R"({"kind":"crash","duration_s":0.05})");
  const auto is_open = [&] { return engine().cache_events()->is_open(); };
  ASSERT_TRUE(run_until(*loop_, [&] { return !is_open(); }));
  ASSERT_TRUE(run_until(*loop_, is_open));
  EXPECT_EQ(engine().cache_events()->publisher().replay_endpoint(), endpoint);
  EXPECT_TRUE(published().empty());
}

}  // namespace
}  // namespace fairlead::engine
