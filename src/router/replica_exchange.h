// SPDX-License-Identifier: Apache-2.0
// ReplicaExchange: what this router sent where, told to the other routers of its fleet, and what
// they sent, taken into the history of this one. So prompts find the engine that has them cached
// whichever router they come to, without a word from the engines.
//
//   workers ──▶ record() ──▶ history
//                 └▶ a batch, every kTellEvery ──▶ a ReplicaLink to each address
//   others  ──▶ ReplicaDoor ──▶ ReplicaInbox ──▶ history
//
// What is lost on its way is lost: a prompt is then known to fewer routers, which costs a computed
// prefix and nothing else; it is counted. A router that starts knows what is told from then on.
// Endpoints must have the same names on all routers; what concerns others' is counted and left.
// Bounds: one batch of kBatchBytesMax between two tellings, what has no room is dropped and
// counted; kLinksMax addresses, those that were seen last; what link and door say. Errors: create()
// names the address or file; what is wrong with an address is told in the log when it changes.
// Threads: record() from any worker, set_pool() from control; start() and stop() from the
// creator's; the rest belongs to a thread and an event loop of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
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
#include "router/replica_door.h"
#include "router/replica_link.h"
#include "router/shared_history.h"

namespace fairlead::router {

struct ReplicaExchangeOptions {
  Duration heartbeat = std::chrono::seconds(1);  // Something is told, though there be nothing.
  Duration resolve_every = std::chrono::seconds(5);
  // An address that a partial answer left out stays so long.
  Duration unseen_max = std::chrono::seconds(60);
  net::ResolverOptions resolver{};
};

class ReplicaExchange final : public picker::DispatchRecorder {
 public:
  static constexpr Duration kTellEvery = std::chrono::milliseconds(5);
  static constexpr std::size_t kLinksMax = config::kReplicaAddressesMax;
  // A warning of the same kind is given again after so long without its cause.
  static constexpr Duration kWarnAgain = std::chrono::minutes(1);

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

  // With the port that was taken.
  const net::SocketAddress& local_address() const { return door_.local_address(); }
  net::EventLoop& loop() { return *loop_; }  // For tests, before start().

 private:
  struct Cells {
    explicit Cells(MetricRegistry& registry);
    std::array<Counter*, replication::kBatchResultCount> batches;
    Counter& batches_sent;
    Counter& batches_lost;
    Counter& batches_untold;
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
    std::map<std::string, Time> seen;     // Addresses with their port, and when they were named.
    std::string trouble;
    Time asked{};
  };
  struct Link {
    std::unique_ptr<ReplicaLink> link;
    std::string trouble;  // As it was told.
  };
  // What came between two tellings, and the size of blocks that it is of.
  struct Pending {
    replication::PlacementWriter writer;
    std::size_t block_bytes = 0;
  };

  ReplicaExchange(const replication::ReplicaSecret& secret, std::uint64_t sender,
                  SharedHistory& history, Log& log, MetricRegistry& metrics,
                  std::unique_ptr<net::EventLoop> loop, const ReplicaExchangeOptions& options);
  Result<void> open(const config::ReplicaSettings& settings);
  Result<void> add_target(const std::string& text);
  replication::BatchResult take(const ReplicaDoor::Told& told);
  void count(replication::BatchResult result, const net::SocketAddress& peer);
  void take_placements();
  void tell();
  void tell_all(std::string_view message, std::uint32_t placements);
  void greet(ReplicaLink& link);
  void on_heartbeat();
  void look_around();
  void show_links();
  void resolve(Target& target);
  void take_answer(Target& target, const net::LookupResult& answer);
  void sync_links();
  std::vector<std::string> wanted_addresses();

  const replication::ReplicaSecret secret_;
  const std::uint64_t sender_;
  const ReplicaExchangeOptions options_;
  SharedHistory& history_;
  Log& log_;
  Cells cells_;
  replication::ReplicaInbox inbox_;
  std::unique_ptr<net::EventLoop> loop_;
  ReplicaDoor door_;
  std::map<std::string, Link> links_;  // By address.
  net::Resolver resolver_;
  std::vector<Target> targets_;
  net::Timer tell_;
  net::Timer heartbeat_;
  std::uint64_t number_ = 0;  // Of the last batch with placements.
  std::size_t living_ = 0;
  bool too_many_links_ = false;
  std::array<Time, replication::kBatchResultCount> seen_at_{};
  std::vector<std::uint32_t> taken_slots_;  // Of one batch; scratch.

  std::mutex mutex_;  // Of the next three.
  Pending pending_;
  std::vector<std::pair<std::string, std::uint64_t>> endpoints_;  // By slot: name and id.
  std::unordered_map<std::uint64_t, std::uint32_t> slots_;        // By id.

  std::thread thread_;
};

}  // namespace fairlead::router
