// SPDX-License-Identifier: Apache-2.0
// CacheEvents: publishes what becomes of a simulated engine's prefix cache, as vLLM does with
// --kv-events-config: one batch a step that changed anything, over ZeroMQ, with a replay socket.
// Tokens are those of the estimate rule (core/tokens), hashes the engine's own.
// Errors: a Result that names the wrong key or the endpoint. Threads: the loop's thread.
// Source: vllm/config/kv_events.py, vllm/distributed/kv_events.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/codec/kv_events_writer.h"
#include "io/net/event_loop.h"
#include "io/net/zmq_publisher.h"
#include "lab/engine/model/cache_log.h"

namespace fairlead::engine {

struct CacheEventsConfig {
  net::ZmqPublisherOptions publisher{};
  codec::KvEncoding encoding = codec::KvEncoding::kMaps;  // As vLLM from 0.24 on.
};

enum class Arrival : std::uint8_t { kSent, kLost };

// The JSON of vLLM's --kv-events-config; unknown keys are errors. Nothing when it enables nothing.
// In `topic`, {port} stands for the engine's HTTP port and {model} for its model.
Result<std::optional<CacheEventsConfig>> parse_kv_events_config(std::string_view json);

class CacheEvents {
 public:
  // For the engine with this number: ports that are given are raised by it, as by a rank.
  static Result<std::unique_ptr<CacheEvents>> create(std::shared_ptr<net::ZmqContext> context,
                                                     net::EventLoop& loop,
                                                     const CacheEventsConfig& config,
                                                     std::uint32_t number, std::int64_t block_size);

  // One batch.
  void publish(const CacheLog& log, double timestamp, Arrival arrival);
  // As a new process: numbered from 0, nothing to replay.
  void restart() {
    if (publisher_) publisher_->restart();
  }
  // As when the process is gone: nobody is connected. Nothing is published until reopen().
  void close();
  // At the same endpoints, numbered from 0. Fails while libzmq still closes the old sockets.
  [[nodiscard]] Result<void> reopen();

  bool is_open() const { return publisher_ != nullptr; }
  // While it is open.
  const net::ZmqPublisher& publisher() const { return *publisher_; }

 private:
  CacheEvents(std::shared_ptr<net::ZmqContext> context, net::EventLoop& loop,
              net::ZmqPublisherOptions options, codec::KvEncoding encoding, std::int64_t block_size)
      : context_(std::move(context)),
        loop_(loop),
        options_(std::move(options)),
        writer_(encoding),
        block_size_(block_size) {}
  void add_stored(const CacheChange& change);

  std::shared_ptr<net::ZmqContext> context_;
  net::EventLoop& loop_;
  net::ZmqPublisherOptions options_;
  std::unique_ptr<net::ZmqPublisher> publisher_;
  codec::KvEventsWriter writer_;
  std::int64_t block_size_;
  std::string extras_;
};

}  // namespace fairlead::engine
