// SPDX-License-Identifier: Apache-2.0
// FleetWorker: does the Fleet's work: probes, scrapes and model lists over HTTP, lookups of host
// names over DNS, and hands the results back to it. One fetch per endpoint and kind at a time; work
// that falls due while the one before is still out is skipped and counted, so that a slow engine
// costs one connection. Threads: the loop's thread, which also owns the Fleet.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/metrics.h"
#include "core/config/settings.h"
#include "core/fleet/fleet.h"
#include "core/fleet/load_table.h"
#include "io/net/http_fetch.h"
#include "io/net/resolver.h"
#include "io/net/tls_metrics.h"

namespace fairlead::fleet {

// What went wrong with reading engines' figures and models, since the start.
struct ReadFaults {
  std::uint64_t metrics_unreachable = 0;  // No answer, or another status than 200.
  std::uint64_t metrics_unreadable = 0;   // An answer without a known figure.
  std::uint64_t models_unreachable = 0;
  std::uint64_t models_unreadable = 0;
};

class FleetWorker {
 public:
  // `tls`: for endpoints behind TLS; null when there are none. `resolver`: for those with names.
  FleetWorker(net::EventLoop& loop, Fleet& fleet, LoadTable& load,
              const config::FleetSettings& settings, MetricRegistry& metrics,
              const std::shared_ptr<const net::TlsClientContext>& tls,
              const net::ResolverOptions& resolver = {});

  // Starts the work on an endpoint of the current snapshot; its result goes to the Fleet in a later
  // turn of the loop.
  void start(const Work& work, const model::Endpoint& endpoint);
  // For the work started from here on.
  void reconfigure(const config::FleetSettings& settings) { settings_ = settings; }
  // The Authorization header of all that is fetched from now on; empty: none.
  void set_authorization(const std::string& value) { authorization_ = value; }
  const ReadFaults& faults() const { return faults_; }
  // Cancels what is out for it; no result follows.
  void forget(model::EndpointRef endpoint);

 private:
  struct Target {
    explicit Target(net::UpstreamPool& pool) : probe(pool), scrape(pool), models(pool) {}
    net::SocketAddress address;
    std::string tls_name;   // Empty for plain TCP.
    std::string authority;  // The Host header.
    net::HttpFetch probe;
    net::HttpFetch scrape;
    net::HttpFetch models;
    codec::EngineMetricsReader reader;
  };
  struct ResultCounters {
    Counter* good;
    Counter* failed;
  };

  Target* target(const model::Endpoint& endpoint);
  net::FetchOptions fetch_options(const Target& target, Duration timeout) const;
  void probe(Target& target, model::EndpointRef endpoint);
  void scrape(Target& target, model::EndpointRef endpoint);
  void on_scrape(Target& target, model::EndpointRef endpoint, const Result<net::FetchReply>& reply);
  void models(Target& target, model::EndpointRef endpoint);
  void resolve(const model::Endpoint& endpoint);
  void on_lookup(model::EndpointRef endpoint, const net::LookupResult& result);
  void note(WorkKind kind, model::EndpointRef endpoint, std::string_view path,
            const Result<net::FetchReply>& reply);
  static ResultCounters result_counters(MetricRegistry& metrics, const char* name,
                                        const char* help);

  net::EventLoop& loop_;
  Fleet& fleet_;
  LoadTable& load_;
  config::FleetSettings settings_;
  std::string authorization_;
  net::UpstreamPool pool_;
  // Keyed by slot and generation, so that a late answer never meets a slot's next owner.
  using Key = std::pair<std::uint32_t, std::uint32_t>;
  std::map<Key, std::unique_ptr<Target>> targets_;
  net::Resolver resolver_;
  std::map<Key, std::unique_ptr<net::Lookup>> lookups_;  // Those that are out.
  ResultCounters probes_;
  ResultCounters scrapes_;
  ResultCounters model_lists_;
  ReadFaults faults_;
  Counter& skipped_;
  Counter& lookups_ok_;
  Counter& lookups_not_found_;
  Counter& lookups_timeout_;
  Counter& lookups_failed_;
  net::TlsMetrics tls_;
};

}  // namespace fairlead::fleet
