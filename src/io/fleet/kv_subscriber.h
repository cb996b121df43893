// SPDX-License-Identifier: Apache-2.0
// KvSubscriber: the KV-cache events of many publishers on one event loop: their SUB sockets, their
// replays over DEALER sockets, and the streams that put their batches in order (event_stream.h).
// Either it connects to each publisher, as vLLM's default wants it, or it listens and publishers
// connect to it; then a batch belongs to the stream that its topic and its rank name.
//
// Bounds: streams, replays at a time, what a stream holds, libzmq's frames and queues
// (io/net/zmq_socket.h). Of a publisher whose events are not read fast enough kEventsQueued
// messages with frames of 16 MiB wait here at most, then its connection is not read until half of
// them are taken in: the rest waits at the publisher, which drops what is beyond its own bound
// (`hwm`, 100,000 for vLLM). That is a gap in its numbers, which a replay closes. Replays are asked
// for, a few at a time, and their answers wait in a queue of their own, because a publisher drops
// what of an answer does not fit at once. Garbage is counted and dropped. Errors: a Result that
// names the endpoint. Threads: the loop's thread; the sinks outlive their streams. Source:
// vllm/distributed/kv_events.py: three frames (topic, number of 8 bytes, payload); a replay is
// asked for with an empty frame and a number, answered by a message a batch with the same frames
// behind an empty one (no topic before 0.26), and ended by a number of all ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/metrics.h"
#include "base/result.h"
#include "core/prefix/event_stream.h"
#include "io/net/event_loop.h"
#include "io/net/timer.h"
#include "io/net/zmq_socket.h"

namespace fairlead::fleet {

enum class KvStreamId : std::uint32_t {};

struct KvPublisherAddress {
  std::string events;      // "tcp://10.0.0.1:5557"; empty: the publisher connects to us.
  std::string replay{};    // Empty: it has none.
  std::string topic{};     // What its messages begin with; empty: any, when we connect to it.
  std::uint32_t rank = 0;  // Data-parallel; matters when it connects to us.
  friend bool operator==(const KvPublisherAddress&, const KvPublisherAddress&) = default;
};

// The endpoint of a data-parallel rank, given that of rank 0: vLLM adds the rank to the port of
// tcp:// and a suffix to the name of inproc://. Empty when there is no port to add to.
std::string kv_rank_endpoint(std::string_view endpoint, std::uint32_t rank);

// Messages of a publisher that wait to be read.
inline constexpr int kEventsQueued = 64;

struct KvSubscriberOptions {
  std::size_t streams_max = 4096;
  std::size_t replays_max = 8;
  prefix::EventStreamOptions stream{};  // has_replay follows from each address.
  // A publisher's, and not those of replays. Their topics are not used.
  net::ZmqOptions events{.queue_max = kEventsQueued, .topic = {}};
  net::ZmqOptions replay{};
};

class KvSubscriber final : private net::ZmqObserver {
 public:
  static Result<std::unique_ptr<KvSubscriber>> create(net::EventLoop& loop,
                                                      const KvSubscriberOptions& options,
                                                      MetricRegistry& metrics);
  ~KvSubscriber();

  // For publishers that connect to us; returns the endpoint with the port that was taken. Once.
  [[nodiscard]] Result<std::string> listen(const std::string& endpoint);

  [[nodiscard]] Result<KvStreamId> add(const KvPublisherAddress& address,
                                       prefix::EventStreamSink& sink,
                                       const std::optional<prefix::SavedStream>& saved = {});
  // The sink is not called again.
  void remove(KvStreamId id);
  // Null when it was removed.
  const prefix::EventStream* stream(KvStreamId id) const;
  // Since when nobody answers at its address. None: it is connected, or it is for it to connect.
  std::optional<Time> unlinked_since(KvStreamId id) const;
  std::size_t streams() const { return streams_.size(); }

 private:
  class Stream;
  struct Metrics {
    explicit Metrics(MetricRegistry& registry);
    Counter& messages;
    Counter& bytes;
    Counter& garbage;
    Counter& unclaimed;
    Counter& connected;
    Counter& disconnected;
    Counter& applied;
    Counter& replayed;
    Counter& duplicates;
    Counter& late;
    Counter& lost;
    Counter& malformed;
    Counter& dropped;
    Counter& gaps;
    Counter& restarts;
    Counter& forgotten;
    Counter& replays;
    Counter& replays_failed;
    Gauge& absent;
    Gauge& suspect;
    Gauge& trusted;
  };

  KvSubscriber(net::EventLoop& loop, const KvSubscriberOptions& options, MetricRegistry& metrics,
               std::unique_ptr<net::ZmqContext> context);
  void on_message(net::ZmqSocket& socket, std::span<const std::string_view> frames) override;
  void on_too_many_frames(net::ZmqSocket& socket) override;
  void replay_ended();
  void publish_metrics();

  net::EventLoop& loop_;
  KvSubscriberOptions options_;
  Metrics metrics_;
  std::unique_ptr<net::ZmqContext> context_;  // Outlives the sockets below.
  std::unique_ptr<net::ZmqSocket> listening_;
  std::map<std::uint32_t, std::unique_ptr<Stream>> streams_;
  std::map<std::pair<std::string, std::uint32_t>, Stream*, std::less<>> by_topic_;
  std::uint32_t next_id_ = 0;
  prefix::ReplayLimit replays_left_;
  std::deque<std::uint32_t> waiting_;  // Streams that want a replay and found none left.
  prefix::EventStreamFigures removed_figures_;
  net::Timer publish_;
};

}  // namespace fairlead::fleet
