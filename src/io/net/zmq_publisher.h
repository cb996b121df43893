// SPDX-License-Identifier: Apache-2.0
// ZmqPublisher: numbered messages to subscribers, with the last ones kept for those who ask for a
// replay: what an engine publishes its KV-cache events with. For simulated engines and tests.
//
// A message has three frames: topic, number (8 bytes, big-endian, from 0), payload. A replay is
// asked for with an empty frame and a number, and answered by a message for each that is kept from
// that number on (empty frame, topic, number, payload), and one whose number is all ones.
// Anything else that is asked is ignored. Bounds: messages kept, and what libzmq queues a peer; a
// subscriber that is slower loses messages. Errors: a Result that names the endpoint.
// Threads: the loop's thread. Source: vllm/distributed/kv_events.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/net/event_loop.h"
#include "io/net/zmq_socket.h"

namespace fairlead::net {

enum class ZmqAttach {
  kByEndpoint,  // As vLLM: binds when it has a `*` or `::` or is ipc or inproc, else connects.
  kBind,
};

struct ZmqPublisherOptions {
  ZmqAttach attach = ZmqAttach::kByEndpoint;
  std::string endpoint = "tcp://*:5557";
  std::string replay_endpoint;  // Empty: no replays. Bound.
  std::string topic;
  std::size_t kept_max = 10'000;
  int queue_max = 100'000;
};

// Whether the endpoint is bound.
bool binds(const ZmqPublisherOptions& options);

class ZmqPublisher final : private ZmqObserver {
 public:
  static Result<std::unique_ptr<ZmqPublisher>> create(std::shared_ptr<ZmqContext> context,
                                                      EventLoop& loop,
                                                      const ZmqPublisherOptions& options);

  // Returns the message's number.
  std::uint64_t publish(std::string payload);
  // As when it got lost on its way: it is only kept.
  std::uint64_t lose(std::string payload);

  // As another process at the same endpoints: numbers from 0, nothing kept.
  void restart();

  std::string endpoint() const;  // With the port that was taken.
  std::string replay_endpoint() const;
  std::uint64_t published() const { return next_; }

 private:
  ZmqPublisher(std::shared_ptr<ZmqContext> context, const ZmqPublisherOptions& options)
      : context_(std::move(context)), options_(options) {}
  [[nodiscard]] Result<void> open(EventLoop& loop);
  void on_message(ZmqSocket& socket, std::span<const std::string_view> frames) override;

  std::shared_ptr<ZmqContext> context_;
  ZmqPublisherOptions options_;
  std::unique_ptr<ZmqSocket> events_;
  std::unique_ptr<ZmqSocket> replay_;
  std::uint64_t next_ = 0;
  std::deque<std::string> kept_;  // The last before next_.
};

}  // namespace fairlead::net
