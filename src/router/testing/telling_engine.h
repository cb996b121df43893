// SPDX-License-Identifier: Apache-2.0
// TellingEngine: for tests: the KV-event side of an engine, which publishes what a test tells it
// to. Errors: gtest failures. Threads: the loop's.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/codec/kv_events_writer.h"
#include "io/net/event_loop.h"
#include "io/net/zmq_publisher.h"
#include "io/net/zmq_socket.h"

namespace fairlead::router::testing {

inline constexpr std::uint32_t kToldBlock = 16;

class TellingEngine {
 public:
  TellingEngine(const std::shared_ptr<net::ZmqContext>& context, net::EventLoop& loop,
                const std::string& topic = {}) {
    net::ZmqPublisherOptions options;
    options.endpoint = options.replay_endpoint = "tcp://127.0.0.1:*";
    options.topic = topic;
    auto publisher = net::ZmqPublisher::create(context, loop, options);
    EXPECT_TRUE(publisher) << publisher.error().message;
    publisher_ = std::move(*publisher);
  }
  // The full blocks of a prompt.
  void store_prompt(std::vector<std::uint32_t> tokens) {
    std::vector<std::uint64_t> hashes(tokens.size() / kToldBlock);
    std::iota(hashes.begin(), hashes.end(), 1000);
    tokens.resize(hashes.size() * kToldBlock);
    codec::KvEvent event;
    event.hashes = hashes;
    event.tokens = tokens;
    event.block_size = kToldBlock;
    event.medium = "GPU";
    send(event);
  }
  // Blocks [first, first + count) of the chain that begins with block 0 and has tokens 0, 1, 2...
  void store(std::uint64_t first, std::uint64_t count, std::string_view medium = "GPU",
             std::uint32_t block = kToldBlock, std::string_view adapter = {}) {
    std::vector<std::uint64_t> hashes(count);
    // An engine hashes an adapter's name with its tokens.
    const std::uint64_t base = adapter.empty() ? 1000 : 2000;
    std::iota(hashes.begin(), hashes.end(), base + first);
    std::vector<std::uint32_t> tokens(count * block);
    std::iota(tokens.begin(), tokens.end(), static_cast<std::uint32_t>(first * block));
    codec::KvEvent event;
    event.hashes = hashes;
    if (first > 0) event.parent = base + first - 1;
    event.tokens = tokens;
    event.block_size = block;
    event.medium = medium;
    event.lora_name = adapter;
    send(event);
  }
  void remove(std::uint64_t block) {
    const std::vector<std::uint64_t> hashes = {1000 + block};
    codec::KvEvent event;
    event.kind = codec::KvEventKind::kRemoved;
    event.hashes = hashes;
    event.medium = "GPU";
    send(event);
  }
  void clear() {
    codec::KvEvent event;
    event.kind = codec::KvEventKind::kCleared;
    send(event);
  }
  net::ZmqPublisher& publisher() { return *publisher_; }
  // What tells a listener where it publishes.
  std::vector<std::pair<std::string, std::string>> labels() const {
    return {{"fairlead/kv-events", publisher_->endpoint()},
            {"fairlead/kv-replay", publisher_->replay_endpoint()}};
  }

 private:
  void send(const codec::KvEvent& event) {
    writer_.add(event);
    std::string payload;
    writer_.finish(1, 0, payload);
    publisher_->publish(std::move(payload));
  }
  std::unique_ptr<net::ZmqPublisher> publisher_;
  codec::KvEventsWriter writer_{codec::KvEncoding::kMaps};
};

}  // namespace fairlead::router::testing
