// SPDX-License-Identifier: Apache-2.0
// From a simulated engine's cache over ZeroMQ into the KV index: what the index says of a prompt is
// what the engine then finds of it, request by request, whatever gets lost or restarts in between.
#include <gtest/gtest.h>

#include <optional>

#include "base/random.h"
#include "core/prefix/kv_feed.h"
#include "core/tokens/estimate.h"
#include "io/fleet/kv_subscriber.h"
#include "io/net/testing/loop_fixture.h"
#include "lab/engine/testing/engine_fixture.h"

namespace fairlead::engine {
namespace {

constexpr std::uint64_t kKeySeed = 4711;
constexpr std::uint32_t kTokensABlock = 16;

class ExactPathTest : public EngineFixture {
 protected:
  void SetUp() override {
    options_.profile.kv_tokens = kTokensABlock * 60;
    options_.profile.max_model_len = kTokensABlock * 50;
    options_.kv_events_config =
        R"({"enable_kv_cache_events": true, "endpoint": "tcp://127.0.0.1:*",
            "replay_endpoint": "tcp://127.0.0.1:*"})";
    start();
    auto subscriber = fleet::KvSubscriber::create(*loop_, {}, metrics_);
    ASSERT_TRUE(subscriber);
    subscriber_ = std::move(*subscriber);
    auto id = subscriber_->add(
        {.events = publisher().endpoint(), .replay = publisher().replay_endpoint(), .topic = {}},
        feed_);
    ASSERT_TRUE(id) << id.error().message;
    stream_ = *id;
  }
  const net::ZmqPublisher& publisher() { return engine().cache_events()->publisher(); }
  bool follow() {
    return net::testing::run_until(*loop_, [&] {
      const prefix::EventStream* stream = subscriber_->stream(stream_);
      return stream->trust() == prefix::Trust::kTrusted &&
             stream->next_sequence() == publisher().published();
    });
  }
  // Tokens of the prompt that the engine will find in its cache: never the last one.
  std::size_t predicted(const std::string& prompt) {
    std::vector<std::uint32_t> tokens;
    tokens::append_text_tokens(prompt, tokens);
    std::vector<std::uint64_t> chain(tokens.size() / kTokensABlock);
    keys_.keys(
        keys_.root(
            {.model = "tiny", .adapter = {}, .cache_salt = {}, .block_tokens = kTokensABlock}),
        tokens, kTokensABlock, chain);
    const prefix::KvLane* const lanes[] = {&lane_};
    const prefix::KvIndex index(lanes);
    std::vector<prefix::KvDepth> depths(index.rows());
    index.match(chain, depths);
    const auto slot = feed_.slots()[0];
    const std::size_t blocks = slot ? depths[*slot] : 0;
    return std::min(blocks, (tokens.size() - 1) / kTokensABlock) * kTokensABlock;
  }
  std::optional<std::size_t> found(const std::string& prompt, std::uint64_t answer) {
    const ClientReply reply =
        complete(R"("max_tokens":)" + std::to_string(answer) + R"(,"prompt":")" + prompt + '"');
    if (reply.status != 200) return std::nullopt;
    return json(reply)["usage"]["prompt_tokens_details"]["cached_tokens"].get<std::size_t>();
  }
  // One of some prompts that share beginnings of many lengths.
  std::string draw_prompt() {
    std::string prompt;
    char letter = static_cast<char>('a' + random_.below(3));
    const std::uint64_t length = 1 + random_.below(40 * 4 * kTokensABlock);
    for (std::uint64_t i = 0; i < length; ++i) {
      if (i % 512 == 511 && random_.below(3) == 0) ++letter;
      prompt.push_back(letter);
    }
    return prompt;
  }

  MetricRegistry metrics_;
  Random random_{21};
  prefix::TokenKeys keys_{kKeySeed};
  prefix::KvLane lane_{
      {.seed = kKeySeed, .budget_bytes = std::uint64_t{64} << 20, .slots_max = 1024}};
  prefix::KvFeedContext context_{lane_, keys_};
  prefix::KvFeed feed_{context_, {.model = "tiny"}};
  std::unique_ptr<fleet::KvSubscriber> subscriber_;
  fleet::KvStreamId stream_{};
};

TEST_F(ExactPathTest, WhatIsPredictedIsFoundOnEveryRequest) {
  std::size_t hits = 0;
  std::size_t tokens = 0;
  for (int round = 0; round < 300; ++round) {
    if (round % 23 == 11) fault(R"({"kind":"lose_events","count":1})");
    if (round % 41 == 17) {
      // Told with the next step only: the request after it is not predicted.
      const char* reset = round % 2 == 0 ? "/reset" : "/reset_prefix_cache";
      ASSERT_EQ(client_->post(port_, reset, "").status, 200);
      ASSERT_TRUE(found(std::string(200, 'z'), 1));
    }
    if (round % 23 == 12) {
      // One may get lost, which is noticed at the one after it.
      ASSERT_TRUE(found(std::to_string(round) + std::string(300, 'u'), 1));
      ASSERT_TRUE(found(std::to_string(round) + std::string(300, 'v'), 1));
    }
    ASSERT_TRUE(follow()) << round;
    const std::string prompt = draw_prompt();
    const std::size_t expected = predicted(prompt);
    const auto seen = found(prompt, 1 + random_.below(40));
    ASSERT_TRUE(seen);
    EXPECT_EQ(*seen, expected) << "round " << round << ", " << prompt.size() << " bytes";
    hits += *seen > 0 ? 1 : 0;
    tokens += *seen;
  }
  EXPECT_GT(hits, 100U);
  EXPECT_GT(tokens, 10'000U);
  EXPECT_GT(feed_.figures().removed_blocks, 500U);
  EXPECT_GT(subscriber_->stream(stream_)->figures().restarts, 0U);
  EXPECT_GT(subscriber_->stream(stream_)->figures().gaps, 0U);
}

}  // namespace
}  // namespace fairlead::engine
