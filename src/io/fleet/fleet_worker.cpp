// SPDX-License-Identifier: Apache-2.0
#include "io/fleet/fleet_worker.h"

#include <algorithm>

namespace fairlead::fleet {
namespace {

// A scrape is worth nothing once it is this old, and an engine that slow is found by its probes.
constexpr Duration kScrapeTimeout = std::chrono::seconds(2);
constexpr Duration kModelsTimeout = std::chrono::seconds(5);

constexpr const char* kLookupsHelp = "Lookups of endpoints' host names, by result.";

std::pair<std::uint32_t, std::uint32_t> key_of(model::EndpointRef endpoint) {
  return {endpoint.slot, endpoint.generation};
}

net::UpstreamPoolOptions pool_options(const std::shared_ptr<const net::TlsClientContext>& tls) {
  net::UpstreamPoolOptions options;
  options.tls = tls;
  return options;
}

}  // namespace

FleetWorker::ResultCounters FleetWorker::result_counters(MetricRegistry& metrics, const char* name,
                                                         const char* help) {
  return {&metrics.counter(name, help, {{"result", "ok"}}),
          &metrics.counter(name, help, {{"result", "failed"}})};
}

FleetWorker::FleetWorker(net::EventLoop& loop, Fleet& fleet, LoadTable& load,
                         const config::FleetSettings& settings, MetricRegistry& metrics,
                         const std::shared_ptr<const net::TlsClientContext>& tls,
                         const net::ResolverOptions& resolver)
    : loop_(loop),
      fleet_(fleet),
      load_(load),
      settings_(settings),
      pool_(loop, pool_options(tls)),
      resolver_(loop, resolver),
      probes_(result_counters(metrics, "fairlead_probes_total",
                              "Health probes of endpoints, by result.")),
      scrapes_(result_counters(metrics, "fairlead_scrapes_total",
                               "Scrapes of endpoints' metrics, by result.")),
      model_lists_(result_counters(metrics, "fairlead_model_lists_total",
                                   "Model lists fetched from endpoints, by result.")),
      skipped_(metrics.counter(
          "fairlead_fleet_work_skipped_total",
          "Probes, scrapes and model lists not started because the one before was still out.")),
      lookups_ok_(metrics.counter("fairlead_lookups_total", kLookupsHelp, {{"result", "ok"}})),
      lookups_not_found_(
          metrics.counter("fairlead_lookups_total", kLookupsHelp, {{"result", "not_found"}})),
      lookups_timeout_(
          metrics.counter("fairlead_lookups_total", kLookupsHelp, {{"result", "timeout"}})),
      lookups_failed_(
          metrics.counter("fairlead_lookups_total", kLookupsHelp, {{"result", "failed"}})),
      tls_(metrics, "engine") {}

FleetWorker::Target* FleetWorker::target(const model::Endpoint& endpoint) {
  const auto known = targets_.find(key_of(endpoint.ref));
  if (known != targets_.end()) return known->second.get();
  const auto address = net::SocketAddress::parse(endpoint.dial(), endpoint.port);
  if (!address) return nullptr;
  auto fresh = std::make_unique<Target>(pool_);
  fresh->address = *address;
  fresh->authority = endpoint.address.empty() ? address->to_string()
                                              : fmt::format("{}:{}", endpoint.host, endpoint.port);
  if (endpoint.tls) {
    const std::string& name = settings_.tls.server_name;
    fresh->tls_name = name.empty() ? endpoint.host : name;
  }
  return targets_.emplace(key_of(endpoint.ref), std::move(fresh)).first->second.get();
}

net::FetchOptions FleetWorker::fetch_options(const Target& target, Duration timeout) const {
  net::FetchOptions options;
  options.timeout = timeout;
  options.tls_name = target.tls_name;
  options.authority = target.authority;
  if (!authorization_.empty()) options.headers.push_back({"authorization", authorization_});
  return options;
}

void FleetWorker::start(const Work& work, const model::Endpoint& endpoint) {
  if (work.kind == WorkKind::kResolve) return resolve(endpoint);
  Target* const to = target(endpoint);
  if (to == nullptr) return;
  switch (work.kind) {
    case WorkKind::kProbe:
      return probe(*to, work.endpoint);
    case WorkKind::kScrape:
      return scrape(*to, work.endpoint);
    case WorkKind::kModels:
      return models(*to, work.endpoint);
    case WorkKind::kResolve:
      return;
  }
}

void FleetWorker::resolve(const model::Endpoint& endpoint) {
  std::unique_ptr<net::Lookup>& lookup = lookups_[key_of(endpoint.ref)];
  if (lookup) return skipped_.add();
  lookup = std::make_unique<net::Lookup>(resolver_);
  lookup->start(endpoint.host, [this, ref = endpoint.ref](const net::LookupResult& result) {
    on_lookup(ref, result);
  });
}

void FleetWorker::on_lookup(model::EndpointRef endpoint, const net::LookupResult& result) {
  const auto done = lookups_.find(key_of(endpoint));
  loop_.destroy_later(std::move(done->second));  // This runs inside it.
  lookups_.erase(done);
  if (result) {
    lookups_ok_.add();
    const NameAnswer answer{result->addresses, result->ttl, result->partial, ""};
    return fleet_.on_answer(endpoint, answer, loop_.now());
  }
  const net::LookupFailure failure = result.error();
  (failure == net::LookupFailure::kNotFound  ? lookups_not_found_
   : failure == net::LookupFailure::kTimeout ? lookups_timeout_
                                             : lookups_failed_)
      .add();
  fleet_.on_answer(endpoint, {{}, Duration{}, false, net::to_string(failure)}, loop_.now());
}

void FleetWorker::note(WorkKind kind, model::EndpointRef endpoint, std::string_view path,
                       const Result<net::FetchReply>& reply) {
  if (reply && reply->status == 200) return fleet_.note({kind, endpoint}, "");
  fleet_.note({kind, endpoint}, reply ? fmt::format("GET {}: status {}", path, reply->status)
                                      : fmt::format("GET {}: {}", path, reply.error().message));
}

void FleetWorker::probe(Target& target, model::EndpointRef endpoint) {
  if (target.probe.active()) return skipped_.add();
  const net::FetchOptions options = fetch_options(target, settings_.health.timeout);
  target.probe.get(target.address, settings_.health.path, options,
                   [this, endpoint](const Result<net::FetchReply>& reply) {
                     const bool good = reply && reply->status == 200;
                     (good ? probes_.good : probes_.failed)->add();
                     note(WorkKind::kProbe, endpoint, settings_.health.path, reply);
                     // What fails on this side says nothing about the endpoint.
                     if (!reply && reply.error().code == ErrorCode::kExhausted) return;
                     tls_.set(pool_.counters().tls);
                     fleet_.on_probe(endpoint, good ? ProbeResult::kGood : ProbeResult::kBad,
                                     loop_.now());
                   });
}

void FleetWorker::scrape(Target& target, model::EndpointRef endpoint) {
  if (target.scrape.active()) return skipped_.add();
  net::FetchOptions options = fetch_options(target, kScrapeTimeout);
  net::SocketAddress address = target.address;
  if (settings_.scrape_port != 0) {
    address = address.with_port(settings_.scrape_port);
    options.authority = address.to_string();
  }
  fleet_.on_scrape_asked(endpoint);
  target.scrape.get(address, settings_.scrape_path, options,
                    [this, &target, endpoint](const Result<net::FetchReply>& reply) {
                      on_scrape(target, endpoint, reply);
                    });
}

void FleetWorker::on_scrape(Target& target, model::EndpointRef endpoint,
                            const Result<net::FetchReply>& reply) {
  note(WorkKind::kScrape, endpoint, settings_.scrape_path, reply);
  const bool answered = reply && reply->status == 200;
  if (answered) {
    const codec::EngineMetrics metrics = target.reader.read(reply->body);
    if (metrics.any()) {
      scrapes_.good->add();
      return fleet_.on_scrape(endpoint, metrics, load_, loop_.now());
    }
  }
  ++(answered ? faults_.metrics_unreadable : faults_.metrics_unreachable);
  scrapes_.failed->add();
  fleet_.on_scrape_failed(endpoint, loop_.now());
}

void FleetWorker::models(Target& target, model::EndpointRef endpoint) {
  if (target.models.active()) return skipped_.add();
  const net::FetchOptions options = fetch_options(target, kModelsTimeout);
  target.models.get(target.address, "/v1/models", options,
                    [this, endpoint](const Result<net::FetchReply>& reply) {
                      note(WorkKind::kModels, endpoint, "/v1/models", reply);
                      if (!reply || reply->status != 200) {
                        ++faults_.models_unreachable;
                        return model_lists_.failed->add();
                      }
                      const auto models = codec::parse_model_list(reply->body);
                      if (!models) {
                        ++faults_.models_unreadable;
                        return model_lists_.failed->add();
                      }
                      model_lists_.good->add();
                      fleet_.on_models(endpoint, *models);
                    });
}

void FleetWorker::forget(model::EndpointRef endpoint) {
  lookups_.erase(key_of(endpoint));
  const auto found = targets_.find(key_of(endpoint));
  if (found == targets_.end()) return;
  Target& target = *found->second;
  target.probe.cancel();
  target.scrape.cancel();
  target.models.cancel();
  pool_.close_idle(target.address);
  // This may run inside a callback of one of its own fetches.
  loop_.destroy_later(std::move(found->second));
  targets_.erase(found);
}

}  // namespace fairlead::fleet
