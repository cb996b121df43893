// SPDX-License-Identifier: Apache-2.0
// ReplicaExchange: what this router sent where, told to the other routers of its fleet, and what
// they sent, taken into the history of this one. So prompts find the engine that has them cached
// whichever router they come to, without a word from the engines.
//
//   workers ──▶ record() ──▶ history
//                 └▶ a batch, every kTellEvery ──▶ PUB socket ──▶ all others
//   others  ──▶ SUB sockets ──▶ ReplicaInbox ──▶ history
//
// What is lost on its way is lost: a prompt is then known to fewer routers, which costs a computed
// prefix and nothing else; it is counted. A router that starts knows what is told from then on.
// Endpoints must have the same names on all routers; what concerns others' is counted and left.
// Bounds: one batch of kBatchBytesMax between two tellings, what has no room is dropped and
// counted; kQueued batches towards and from each router; kLinksMax routers. Errors: create() names
// the address or file; a name that does not resolve is told of in the log and asked for again.
// Threads: record() from any worker, set_pool() from control; start() and stop() from the
// creator's; the rest belongs to a thread and an event loop of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "core/config/settings.h"
#include "core/model/endpoint.h"
#include "core/picker/picker.h"
#include "core/replication/placement_batch.h"
#include "core/replication/replica_inbox.h"
#include "core/replication/replica_secret.h"
#include "io/net/event_loop.h"
#include "io/net/resolver.h"
#include "io/net/timer.h"
#include "io/net/zmq_socket.h"
#include "router/shared_history.h"

namespace fairlead::router {

struct ReplicaExchangeOptions {
  Duration heartbeat = std::chrono::seconds(1);  // Something is told, though there be nothing.
  Duration resolve_every = std::chrono::seconds(5);
  net::ResolverOptions resolver{};
};

class ReplicaExchange final : public picker::DispatchRecorder, private net::ZmqObserver {
 public:
  static constexpr Duration kTellEvery = std::chrono::milliseconds(5);
  static constexpr int kQueued = 64;
  static constexpr std::size_t kLinksMax = 64;

  // `sender` is another for each process. All but the settings outlive it.
  static Result<std::unique_ptr<ReplicaExchange>> create(
      const config::ReplicaSettings& settings, const replication::ReplicaSecret& secret,
      std::uint64_t sender, SharedHistory& history, Log& log, MetricRegistry& metrics,
      const ReplicaExchangeOptions& options = {});
  ~ReplicaExchange() override;
  ReplicaExchange(const ReplicaExchange&) = delete;
  ReplicaExchange& operator=(const ReplicaExchange&) = delete;

  void start();
  void stop();

  void set_pool(const model::PoolSnapshot& pool);
  void record(std::uint32_t slot, std::span<const std::uint64_t> keys) override;

  // "tcp://127.0.0.1:9464": with the port that was taken.
  std::string bound_endpoint() const { return publisher_->bound_endpoint(); }
  net::EventLoop& loop() { return *loop_; }  // For tests, before start().

 private:
  struct Cells {
    explicit Cells(MetricRegistry& registry);
    std::array<Counter*, replication::kBatchResultCount> batches;
    Counter& batches_sent;
    Counter& batches_lost;
    Counter& placements_sent;
    Counter& placements_taken;
    Counter& placements_unknown;
    Counter& placements_dropped;
    Gauge& living;
    Gauge& connected;
  };
  // What one line of the configuration stands for.
  struct Target {
    config::HostPort address;
    std::unique_ptr<net::Lookup> lookup;  // Null: it is no name.
    std::set<std::string> endpoints;
    std::string trouble;
    Time asked{};
  };

  ReplicaExchange(const replication::ReplicaSecret& secret, std::uint64_t sender,
                  SharedHistory& history, Log& log, MetricRegistry& metrics,
                  std::unique_ptr<net::EventLoop> loop, std::unique_ptr<net::ZmqContext> context,
                  const ReplicaExchangeOptions& options);
  Result<void> open(const config::ReplicaSettings& settings);
  void on_message(net::ZmqSocket& socket, std::span<const std::string_view> frames) override;
  void on_too_many_frames(net::ZmqSocket& socket) override;
  void on_connected(net::ZmqSocket& socket) override;
  void on_disconnected(net::ZmqSocket& socket) override;
  void count(replication::BatchResult result);
  void take_placements();
  void tell();
  void on_heartbeat();
  void warn_of_others();
  void resolve(Target& target);
  void take_answer(Target& target, const net::LookupResult& answer);
  void sync_links();

  const replication::ReplicaSecret secret_;
  const std::uint64_t sender_;
  const ReplicaExchangeOptions options_;
  SharedHistory& history_;
  Log& log_;
  Cells cells_;
  replication::ReplicaInbox inbox_;
  std::unique_ptr<net::EventLoop> loop_;
  std::unique_ptr<net::ZmqContext> context_;  // Outlives the sockets below.
  std::unique_ptr<net::ZmqSocket> publisher_;
  std::map<std::string, std::unique_ptr<net::ZmqSocket>> links_;
  std::set<const net::ZmqSocket*> connected_;
  net::Resolver resolver_;
  std::vector<Target> targets_;
  net::Timer tell_;
  net::Timer heartbeat_;
  std::uint64_t number_ = 0;
  std::size_t living_ = 0;
  bool too_many_links_ = false;
  std::array<bool, replication::kBatchResultCount> seen_{};    // Since the last heartbeat.
  std::array<bool, replication::kBatchResultCount> warned_{};  // And not seen to end since.

  std::mutex mutex_;  // Of those below.
  replication::PlacementWriter writer_;
  std::vector<std::pair<std::string, std::uint64_t>> endpoints_;  // By slot: name and id.
  std::unordered_map<std::uint64_t, std::uint32_t> slots_;        // By id.
  std::vector<std::uint32_t> taken_slots_;                        // Of one batch; scratch.
  std::thread thread_;
};

}  // namespace fairlead::router
