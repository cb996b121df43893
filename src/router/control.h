// SPDX-License-Identifier: Apache-2.0
// Control: the one thread that keeps a router's picture of the fleet: it drains the workers'
// observations, probes, scrapes, resolves host names, watches the endpoints file and those of keys,
// publishes the pool, only when something changed, and looks whether the process is overloaded.
// Results and observations wait for the next tick, at most kTickMax; a worker that saw a failure
// avoids the endpoint meanwhile by itself.
//
//   auto control = Control::create(router);   // The admin server may join its loop here.
//   (*control)->start();                      // From here on the loop belongs to its thread.
//   ... (*control)->stop();                   // Or the destructor; what joined the loop dies
//   between.
//
// Threads: ready() from any thread; start() and stop() from the creator's; the rest belongs to the
// creator until start() and after stop(), and to the loop's thread in between.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/fleet/fleet.h"
#include "io/fleet/fleet_worker.h"
#include "io/fleet/watched_files.h"
#include "io/net/event_loop.h"
#include "router/access_files.h"
#include "router/overload_monitor.h"
#include "router/router.h"
#include "router/tls_reload.h"

namespace fairlead::router {

using GenerationSource = std::function<Result<std::shared_ptr<const Generation>>()>;

class Control {
 public:
  // Fails when the configured endpoints and those of the endpoints file make no pool: a name
  // used twice, a file that is missing or has errors. So does a certificate. A host name that does
  // not resolve is no reason to fail.
  static Result<std::unique_ptr<Control>> create(Router& router,
                                                 const net::ResolverOptions& resolver = {});
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  net::EventLoop& loop() { return *loop_; }

  // Lets `build` make another generation whenever `file` changes, if it has a name, or reload() is
  // called. A generation is taken over whole, or refused with a log line and the old one serves on.
  // `build` runs in the loop's thread: requests do not wait for it. Before start().
  Result<void> follow(const std::string& file, GenerationSource build);
  void reload();  // From any thread.
  void start();
  void stop();

  // At least one endpoint takes traffic and has told its models.
  bool ready() const { return ready_.load(std::memory_order_relaxed); }
  // Sets the metrics that are read off tables, to be called before they are exposed.
  void refresh_metrics();
  // What else refresh_metrics() does, at its end. Before start().
  void on_refresh(std::function<void()> more) { more_metrics_ = std::move(more); }
  std::vector<fleet::Fleet::Status> status() const { return fleet_.status(); }
  const fleet::ReadFaults& read_faults() const { return worker_.faults(); }
  Time now() const { return loop_->now(); }
  double unix_seconds() const { return loop_->unix_seconds(); }
  // The one in force and those before it, the newest first, for decisions made with them.
  const std::vector<std::shared_ptr<const Generation>>& generations() const { return generations_; }

 private:
  static constexpr Duration kTickMin = std::chrono::milliseconds(5);
  static constexpr Duration kTickMax = std::chrono::milliseconds(50);
  static constexpr std::size_t kGenerationsKept = 8;

  struct EndpointMetrics {
    Gauge* up;
    Gauge* inflight_requests;
    Gauge* inflight_tokens;
    Gauge* waiting;
    Gauge* running;
    Gauge* kv_usage;
    Gauge* slowness;
    Gauge* others_tokens;
    Gauge* others_decoding;
    Counter* ejections;
    Counter* failed_requests;
    Counter* decisions;
    Counter* prompt_tokens;
    Counter* expected_cached_tokens;
    Counter* reported_prompt_tokens;
    Counter* reported_cached_tokens;
    Counter* reported_output_tokens;
  };

  Control(Router& router, std::unique_ptr<net::EventLoop> loop,
          const net::ResolverOptions& resolver);
  Result<void> adopt(const std::shared_ptr<const Generation>& next);
  Result<void> set_members(const config::FleetSettings& settings, const fleet::WatchedFiles* file);
  // Null without a path.
  Result<std::unique_ptr<fleet::WatchedFiles>> open_endpoints_file(
      const config::FleetSettings& settings);
  void on_endpoints_file();
  void rebuild();
  void tick();
  void drain_observations();
  void apply(const fleet::Effect& effect);
  void publish();
  void open_saves();
  void save();
  Restart::Job to_save() const;
  void resume(const model::Endpoint& endpoint);
  void reset_slot(std::uint32_t slot);
  EndpointMetrics& metrics_of(const model::Endpoint& endpoint);

  Router& router_;
  std::unique_ptr<net::EventLoop> loop_;
  std::shared_ptr<const Generation> generation_;
  std::vector<std::shared_ptr<const Generation>> generations_;
  fleet::Fleet fleet_;
  fleet::FleetWorker worker_;
  net::Timer timer_;
  net::Timer save_timer_;
  OverloadMonitor overload_;
  std::unique_ptr<AccessFiles> access_;
  std::unique_ptr<fleet::WatchedFiles> endpoints_file_;
  GenerationSource build_;
  std::unique_ptr<fleet::WatchedFiles> configuration_file_;
  std::unique_ptr<TlsReload> tls_reload_;
  std::shared_ptr<const model::PoolSnapshot> pool_;
  std::vector<model::Observation> observations_;
  std::vector<fleet::Work> due_;
  std::vector<fleet::Effect> effects_;
  std::map<std::string, EndpointMetrics> endpoint_metrics_;
  Counter& dropped_;
  Counter& decisions_not_kept_;
  Gauge& history_bytes_;
  Gauge& history_blocks_;
  Gauge& history_runs_;
  Counter& history_evicted_;
  Gauge& responses_held_;
  Counter& responses_evicted_;
  Counter& file_taken_;
  Counter& file_refused_;
  Counter& reloads_;
  Counter& reloads_refused_;
  Gauge& configured_at_;
  std::function<void()> more_metrics_;
  std::atomic<bool> ready_{false};
  std::thread thread_;
};

}  // namespace fairlead::router
