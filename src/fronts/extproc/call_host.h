// SPDX-License-Identifier: Apache-2.0
// CallHost: what the ext_proc streams of one worker share: picker, scanner, memory for bodies,
// published snapshots, metrics, and the pool of ExtProcCall objects. They are reused, so that a
// request allocates nothing once the worker is warm.
// Threads: the worker's thread, but for construction and destruction while its loop does not run.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/published.h"
#include "base/random.h"
#include "core/admission/overload.h"
#include "core/exchange/body_store.h"
#include "core/exchange/extproc_stream.h"
#include "core/picker/picker.h"
#include "fronts/extproc/endpoint_scores.h"
#include "fronts/extproc/epp_metrics.h"
#include "fronts/extproc/extproc_metrics.h"
#include "fronts/extproc/plugin_metrics.h"
#include "fronts/extproc/scheduler_metrics.h"
#include "io/net/event_loop.h"
#include "io/net/steady_clock.h"
#include "router/access_log.h"
#include "router/action_desk.h"
#include "router/prompt_desk.h"
#include "router/router.h"

namespace fairlead::extproc {

class ExtProcCall;

// What all workers of a front share besides the router.
struct FrontShared {
  LabelBudget models{1000};
  LabelBudget fairness{1000};
  std::atomic<std::size_t> body_bytes{0};   // In memory, of epp.bufferedBytesMax.
  router::AccessLog* access_log = nullptr;  // Null: none is kept.
};

class CallHost final {
 public:
  CallHost(net::EventLoop& loop, router::Router& router, FrontShared& shared, std::uint32_t worker);
  ~CallHost();
  CallHost(const CallHost&) = delete;
  CallHost& operator=(const CallHost&) = delete;

  ExtProcCall& take();
  void release(ExtProcCall& call);
  std::size_t live() const { return calls_.size() - free_.size(); }
  // Ends every running stream: the time for draining is over.
  void cut_off_all();

  std::shared_ptr<const router::Generation> generation() { return generation_.share(); }
  bool in_force(const router::Generation& generation) { return &generation_.get() == &generation; }
  std::shared_ptr<const model::PoolSnapshot> pool_snapshot() { return pool_snapshot_.share(); }
  // Takes over what a new generation changes for the whole worker. Between two streams.
  void adopt(const std::shared_ptr<const router::Generation>& generation);
  // For the streams that begin from here on; those that run keep what they began with.
  std::shared_ptr<const exchange::ExtProcSettings> stream_settings() const { return settings_; }

  void set_overload(admission::OverloadActions actions) { overload_ = actions; }
  admission::OverloadActions overload() const { return overload_; }

  router::PromptDesk& prompts() { return prompts_; }
  void make_request_id(std::string& out);
  // Of the pool as it is now; nothing when no endpoint has this address.
  std::optional<model::EndpointRef> find_endpoint(std::string_view host_port);

  Random& trace_random() { return trace_random_; }
  router::AccessLog* access_log() { return access_log_; }
  // Spans of a request that has ended.
  void hand_over(codec::OtlpSpans spans) { traces_.push(std::move(spans)); }

  net::EventLoop& loop() { return loop_; }
  picker::Picker& picker() { return picker_; }
  router::ActionDesk<ExtProcCall>& actions() { return actions_; }
  exchange::ExtProcShared shared() { return {*desk_, bodies_, counters_}; }
  ExtProcMetrics& metrics() { return metrics_; }
  EppMetrics& epp_metrics() { return epp_metrics_; }
  SchedulerMetrics& scheduler_metrics() { return scheduler_metrics_; }
  EndpointScores& scores() { return scores_; }
  // What the profile's reporters make of an answer; valid until the next call.
  std::span<const codec::MetadataNumber> report(const scheduling::Profile& profile,
                                                const codec::Usage& usage);
  // Reads the clock, where a turn's own time says too little.
  Time exact_now() const { return clock_.now(); }
  fleet::TrafficTable& traffic() { return traffic_; }
  router::SharedResponses& responses() { return responses_; }
  const exchange::ExtProcCounters& counters() const { return counters_; }
  // For one message; whoever uses it clears it first.
  std::string& scratch() { return scratch_; }
  std::size_t body_bytes() const { return bodies_.lent_bytes(); }

 private:
  net::EventLoop& loop_;
  Published<router::Generation>::Reader generation_;
  Published<model::PoolSnapshot>::Reader pool_snapshot_;
  router::PromptDesk prompts_;
  std::shared_ptr<const exchange::ExtProcSettings> settings_;
  admission::OverloadActions overload_;
  std::uint64_t key_seed_;
  Random random_;
  Random trace_random_;
  router::AccessLog* access_log_;
  Handoff<codec::OtlpSpans>& traces_;
  router::SharedResponses& responses_;
  ExtProcMetrics metrics_;
  EppMetrics epp_metrics_;
  SchedulerMetrics scheduler_metrics_;
  PluginMetrics plugin_metrics_;
  EndpointScores scores_;
  std::vector<codec::MetadataNumber> reported_;
  net::SteadyClock clock_;
  fleet::TrafficTable& traffic_;
  exchange::ExtProcCounters counters_;
  exchange::BodyStore bodies_;
  std::optional<exchange::ReadingDesk> desk_;  // Calls keep its address.
  std::size_t desk_bytes_ = 0;
  picker::Picker picker_;
  router::ActionDesk<ExtProcCall> actions_;
  std::string scratch_;
  std::vector<std::unique_ptr<ExtProcCall>> calls_;
  std::vector<ExtProcCall*> free_;
};

}  // namespace fairlead::extproc
