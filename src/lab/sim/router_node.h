// SPDX-License-Identifier: Apache-2.0
// RouterNode: one router process of a simulated world: the production fleet, tables, histories,
// index and picker, driven as router::Control and a front's worker drive them, over the simulated
// wire. A restart makes another one.
//
// Checked: in-flight shares are what the requests hold, at every event, and nothing at the end; a
// slot changes hands only when nothing is in flight there; every decision accounts for the whole
// pool, and names nobody who has been out of this router's reach for longer than it takes to find
// out; whoever fails its requests is cast out, whatever its probes say, while enough others serve;
// whoever is within its reach again is used again in time; no history outlives the cache that
// it is of, once the engine has told of its restart, be it before or after the router's own; a
// key's running requests are those that run; all recovers within kRecovery of the last fault.
// Threads: thread-compatible.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/access/key_usage.h"
#include "core/codec/restart_file.h"
#include "core/config/settings.h"
#include "core/exchange/extproc_stream.h"
#include "core/fleet/fleet.h"
#include "core/fleet/response_holders.h"
#include "core/fleet/traffic_table.h"
#include "core/picker/picker.h"
#include "core/prefix/routed_history.h"
#include "lab/sim/disk.h"
#include "lab/sim/engine_host.h"
#include "lab/sim/kv_knowledge.h"
#include "lab/sim/ledger.h"
#include "lab/sim/replica_wire.h"
#include "lab/sim/router_loop.h"

namespace fairlead::sim {

// From the end of the last fault until everybody serves fully again.
inline constexpr Duration kRecovery = std::chrono::seconds(14);

// Of the request path, as limits.* has them in production.
struct CallLimits {
  Duration connect = std::chrono::seconds(1);
  Duration first_byte = std::chrono::seconds(6);
  Duration idle = std::chrono::seconds(4);
  Duration total = std::chrono::seconds(20);
  std::size_t retry_buffer = 2'000;  // Some prompts are larger.
};

struct RouterConfig {
  config::FleetSettings fleet;
  config::PrefixSettings prefix;
  picker::Limits picking;
  CallLimits calls;
  access::KeyLimits key;
  const scheduling::Profile* profile = nullptr;
};

config::EndpointSetting member_of(std::uint32_t engine);

// What nodes share with the world that they are in; all of it outlives them.
struct Surroundings {
  std::uint32_t router;  // Its number.
  Agenda& agenda;
  RouterLoop& loop;
  Ledger& ledger;
  std::vector<std::unique_ptr<EngineHost>>& engines;
  const PromptBlocks& blocks;
  Disk* disk;                       // The router's own.
  ReplicaWire* replicas = nullptr;  // Null: routers do not tell each other.
};

class RouterNode final : private ReplicaPort,
                         private picker::ObservationSink,
                         private picker::DispatchRecorder,
                         private picker::DecisionSink {
 public:
  RouterNode(const Surroundings& world, const RouterConfig& config,
             const std::vector<config::EndpointSetting>& members, std::uint64_t seed);
  ~RouterNode() override;
  RouterNode(const RouterNode&) = delete;
  RouterNode& operator=(const RouterNode&) = delete;

  void reload(const RouterConfig& config);
  void set_members(const std::vector<config::EndpointSetting>& members);
  // It is told to end, and has the time.
  void save_at_end();

  // For the requests.
  Time now() const { return world_.agenda.now(); }
  const Surroundings& world() const { return world_; }
  const RouterConfig& config() const { return config_; }
  WireId wire() const { return wire_of_router(world_.router); }
  WireId proxy_wire() const { return wire_of_proxy(world_.router); }
  picker::Picker& picker() { return picker_; }
  const model::PoolSnapshot& pool() const { return *pool_; }
  std::shared_ptr<const model::PoolSnapshot> shared_pool() const { return pool_; }
  picker::Outbox& outbox() { return outbox_; }
  exchange::ReadingDesk& desk() { return desk_; }
  exchange::BodyStore& bodies() { return bodies_; }
  exchange::ExtProcCounters& counters() { return counters_; }
  exchange::KeySettings key_settings() const;
  fleet::ResponseHolders& holders() { return holders_; }
  fleet::TrafficTable& traffic() { return traffic_; }
  access::Grant admit(std::uint64_t prompt_tokens);
  EngineHost& engine_of(const model::Endpoint& endpoint) const;

  // What requests hold, so that the tables can be compared: 1 or -1 share at the endpoint.
  void hold(model::EndpointRef endpoint, int shares);
  void admitted(int requests) { running_ += requests; }

  void check_prompt(const Prompt& prompt) { knowledge_.check(prompt); }
  // `calls`: those that are not over.
  void check_tables(std::size_t calls);
  void check_healed(std::span<const Prompt> prompts);
  void check_idle();

 private:
  std::size_t serving_beside(const model::Endpoint& endpoint) const;
  void count_failure(const model::Observation& observation);
  void check_cast_out();
  void check_used();
  void check_histories();
  void note_told(std::uint32_t slot, double started_at);
  void observe(const model::Observation& observation) override { seen_.push_back(observation); }
  void record(std::uint32_t slot, std::span<const std::uint64_t> keys) override;
  void note(const picker::DecisionNote& note) override;
  picker::Ports ports();
  // router_saved.cpp
  void restore();
  void resume(const model::Endpoint& endpoint);
  void save_later();
  void begin_save();
  void save_slice();

  // router_replicas.cpp
  void join_replicas();
  void leave_replicas();
  void beat();
  void tell_placement(const model::Endpoint& endpoint, std::span<const std::uint64_t> keys);
  void tell();
  replication::BatchResult take_batch(std::string_view message, std::string_view seal) override;
  std::uint32_t block_bytes() const override {
    return static_cast<std::uint32_t>(config_.prefix.block_bytes);
  }
  void take_placement(const model::Endpoint& endpoint, std::span<const std::uint64_t> keys);
  void check_replicas();

  void tick();
  void arm_tick();
  void apply(const fleet::Effect& effect);
  void reset_slot(std::uint32_t slot);
  void publish();
  void start(const fleet::Work& work);
  void probe(model::EndpointRef ref, EngineHost& engine);
  void scrape(model::EndpointRef ref, EngineHost& engine);
  void list_models(model::EndpointRef ref, EngineHost& engine);

  Surroundings world_;
  RouterConfig config_;
  fleet::InFlightTable inflight_;
  fleet::LoadTable load_;
  fleet::PlacementLedger placements_;
  fleet::SpeedTable speeds_;
  fleet::SeenBlocks seen_blocks_;
  fleet::TrafficTable traffic_;
  fleet::ResponseHolders holders_;
  prefix::RoutedHistory history_;
  KvKnowledge knowledge_;
  fleet::Fleet fleet_;
  picker::Picker picker_;
  picker::Outbox outbox_;
  exchange::ReadingDesk desk_{std::size_t{1} << 20};
  exchange::BodyStore bodies_;
  exchange::ExtProcCounters counters_;
  std::atomic<std::uint32_t> block_tokens_{kBlockTokens};
  prefix::TokenKeys token_keys_{kKeySeed};
  std::shared_ptr<access::KeyUsage> key_usage_ = std::make_shared<access::KeyUsage>();
  std::shared_ptr<const model::PoolSnapshot> pool_ = std::make_shared<model::PoolSnapshot>();
  std::vector<model::Observation> seen_;  // By the worker; control has not read it yet.
  std::vector<fleet::Work> due_;
  std::vector<fleet::Effect> effects_;
  std::uint64_t ticks_armed_ = 0;         // Only the last one counts.
  std::set<std::uint32_t> scraping_;      // Slots whose figures are on their way.
  std::map<std::uint32_t, int> held_;     // Shares by slot.
  std::map<std::uint32_t, Time> joined_;  // When the slot came to who has it, by slot.
  // By slot: requests that failed one after the other, while enough others served and it was
  // healthy.
  std::map<std::uint32_t, std::uint32_t> failed_in_row_;
  // In which of its lives an engine was, by slot: when the oldest of what is in its history was
  // sent to it, and when it last told.
  std::map<std::uint32_t, std::uint32_t> history_lives_;
  std::map<std::uint32_t, std::uint32_t> told_lives_;
  int running_ = 0;
  Time born_{};
  codec::RestartImage image_;                     // Of the process before, without its index.
  std::unique_ptr<codec::RestartWriter> saving_;  // A save under way.
  std::uint64_t name_ = 0;                        // Among the routers.
  std::uint64_t batches_told_ = 0;
  replication::PlacementWriter placements_told_;  // Since the last batch.
  std::optional<replication::ReplicaInbox> inbox_;
};

}  // namespace fairlead::sim
