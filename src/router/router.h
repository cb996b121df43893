// SPDX-License-Identifier: Apache-2.0
// Router: what the workers of a front share and what outlives a configuration reload: the published
// pool, generation and keys, the load, in-flight and placement tables, the prefix history, the
// observation inbox, the metrics, what was decided and what happened. It creates no threads and
// assumes no number of workers; a front makes a picker of its own per worker with make_picker().
// Threads: as each member says; the accessors may be called from any thread.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/handoff.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/published.h"
#include "core/access/key_table.h"
#include "core/codec/otlp_json.h"
#include "core/config/epp_settings.h"
#include "core/config/settings.h"
#include "core/exchange/request_facts.h"
#include "core/fleet/inflight_table.h"
#include "core/fleet/load_table.h"
#include "core/fleet/placement_ledger.h"
#include "core/fleet/traffic_table.h"
#include "core/model/endpoint.h"
#include "core/picker/picker.h"
#include "core/scheduling/picker_config.h"
#include "core/scheduling/profile.h"
#include "io/net/steady_clock.h"
#include "io/net/tls_context.h"
#include "router/decision_log.h"
#include "router/engine_audits.h"
#include "router/event_log.h"
#include "router/kv_listener.h"
#include "router/overload_state.h"
#include "router/replica_exchange.h"
#include "router/restart.h"
#include "router/shared_history.h"
#include "router/shared_responses.h"
#include "router/tokenizers.h"

namespace fairlead::router {

// One configuration, built whole and published whole; a request keeps the one it began with.
struct Generation {
  config::ServeSettings settings;
  config::EppSettings epp;  // Of `fairlead epp` alone.
  std::string policy;       // The shipped policy's name, or "custom".
  scheduling::Profile profile;
  scheduling::PickerConfig picker;  // What goes with it; `fairlead epp` works by it.
};

// TLS as the first generation's settings want it.
struct TlsContexts {
  std::shared_ptr<net::TlsServerContext> clients;  // Null: they come without TLS.
  std::shared_ptr<net::TlsClientContext> engines;
};

// As the settings want it; null where clients come without TLS. The error names the file.
Result<std::shared_ptr<net::TlsServerContext>> open_client_tls(
    const config::GatewaySettings& gateway, net::Http2Offer http2 = net::Http2Offer::kYes);
Result<std::shared_ptr<net::TlsClientContext>> open_engine_tls(
    const config::EngineTlsSettings& tls);

class Router final : public picker::ObservationSink {
 public:
  // `process_seed` makes prefix keys unguessable; every random stream derives from it.
  Router(const std::shared_ptr<const Generation>& first, std::uint64_t process_seed, Log& log,
         MetricRegistry& metrics);

  // Reads certificates and CAs; before workers and control begin. The error names the file.
  [[nodiscard]] Result<void> open_tls();
  const TlsContexts& tls() const { return tls_; }
  // Begins to tell other routers what this one sends where, and to be told, where the first
  // generation names them; before the rest, because prefix keys are of the secret that all share.
  // The error names the file or address.
  [[nodiscard]] Result<void> open_replicas(const net::ResolverOptions& resolver);
  ReplicaExchange* replicas() { return replicas_.get(); }  // Null: this one is alone.
  // Reads what another process of this router knew, where the first generation keeps it; before
  // the listener and the fronts, which ask for the key seed. The error names the directory.
  [[nodiscard]] Result<void> open_restart();
  Restart* restart() { return restart_.get(); }  // Null: nothing is kept.
  // Makes the listener to engines' KV events where the first generation wants one; before workers
  // and control begin. The error names the address.
  [[nodiscard]] Result<void> open_listener();
  KvListener* listener() { return listener_.get(); }  // Null: nobody listens.
  EngineAudits& audits() { return audits_; }
  // How prompts become keys of token blocks; `models` is kept.
  exchange::TokenSettings token_settings(exchange::ModelNames& models) const;
  Tokenizers* tokenizers() { return tokenizers_.get(); }  // Null: there are none.

  const Published<Generation>& generation() const { return generation_; }
  Published<Generation>& generation() { return generation_; }
  const Published<model::PoolSnapshot>& pool() const { return pool_; }
  Published<model::PoolSnapshot>& pool() { return pool_; }

  const Published<access::AccessRules>& access() const { return access_; }
  Published<access::AccessRules>& access() { return access_; }

  fleet::InFlightTable& inflight() { return inflight_; }
  fleet::LoadTable& load() { return load_; }
  fleet::PlacementLedger& ledger() { return ledger_; }
  fleet::TrafficTable& traffic() { return traffic_; }
  fleet::SpeedTable& speeds() { return speeds_; }
  SharedHistory& history() { return history_; }
  // Which media were sent where, each item a prompt of one key.
  SharedHistory& media() { return media_; }
  SharedResponses& responses() { return responses_; }
  OverloadState& overload() { return overload_; }
  const DecisionLogs& decisions() const { return decisions_; }
  MetricRegistry& metrics() { return metrics_; }
  Log& log() { return log_; }
  // To the log, and into events(). Control's thread, or its creator's before it runs.
  template <class... Args>
  void tell(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
    keep(level, fmt::format(format, std::forward<Args>(args)...));
  }
  const EventLog& events() const { return events_; }
  // Of chances and of what is made up, anew with each process.
  std::uint64_t process_seed() const { return process_seed_; }
  // Of prefix keys: of the secret that routers share, or of what was saved, or this process's.
  std::uint64_t key_seed() const { return key_seed_; }

  // From any worker; bounded, the oldest is dropped and counted.
  void observe(const model::Observation& observation) override { inbox_.push(observation); }
  Handoff<model::Observation>& inbox() { return inbox_; }

  // Spans of ended requests, from the workers to the exporter; bounded likewise.
  Handoff<codec::OtlpSpans>& traces() { return traces_; }

  // A picker for worker number `worker`, with a random stream of its own.
  // `watch`, which may be null, outlives it.
  picker::Picker make_picker(std::uint32_t worker, scheduling::PluginWatch* watch = nullptr);
  static picker::Limits picker_limits(const config::ServeSettings& settings);

 private:
  void keep(LogLevel level, std::string text);

  TlsContexts tls_;
  EngineAudits audits_;
  std::unique_ptr<KvListener> listener_;
  std::unique_ptr<Tokenizers> tokenizers_;
  Published<Generation> generation_;
  Published<model::PoolSnapshot> pool_;
  Published<access::AccessRules> access_;
  fleet::InFlightTable inflight_;
  fleet::LoadTable load_;
  fleet::PlacementLedger ledger_;
  fleet::SpeedTable speeds_;
  fleet::SeenBlocks seen_;
  fleet::TrafficTable traffic_;
  SharedHistory history_;
  SharedHistory media_{1, model::kMediaItemsKept};
  SharedResponses responses_;
  OverloadState overload_;
  DecisionLogs decisions_;
  net::SteadyClock clock_;
  EventLog events_;
  Handoff<model::Observation> inbox_{64 * 1024};
  Handoff<codec::OtlpSpans> traces_{4096};
  std::unique_ptr<Restart> restart_;
  std::unique_ptr<ReplicaExchange> replicas_;
  std::uint64_t process_seed_;
  std::uint64_t key_seed_;
  Log& log_;
  MetricRegistry& metrics_;
};

}  // namespace fairlead::router
