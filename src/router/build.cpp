// SPDX-License-Identifier: Apache-2.0
#include "router/build.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/picker/candidate_builder.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"

namespace fairlead::router {
namespace {

constexpr auto kShortestTick = std::chrono::milliseconds(50);

scheduling::BuiltPolicy build_from(std::string_view yaml, std::string_view file,
                                   config::Problems& problems) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Section root = config::Section::parse(yaml, file, problems);
  scheduling::BuiltPolicy built =
      scheduling::build_policy(root, registry, {picker::filled_columns()}, problems);
  root.finish();
  return built;
}

void check_tokens(config::Section& root, const config::ServeSettings& settings,
                  const scheduling::PickerConfig& picker) {
  if (settings.tokens.models.empty() || picker.events) return;
  root.child("tokens").warning("models",
                               "has no effect: the policy has no precise-prefix-cache-producer");
}

void take(scheduling::BuiltPolicy& built, Generation& generation) {
  generation.settings.fleet.scrape_path = built.picker.metrics_place.path;
  generation.settings.fleet.scrape_port = built.picker.metrics_place.port;
  generation.policy = built.name;
  generation.profile = std::move(*built.profile);
  generation.picker = std::move(built.picker);
}

// What only `fairlead serve` has must not be in force here; the reader of the key `epp` warns of
// it.
config::ServeSettings shared_settings(config::Section& root) {
  config::ServeSettings settings = config::parse_settings(root);
  settings.gateway = {};
  settings.limits = {};
  settings.access = {};
  return settings;
}

// Exactly one place may say where the endpoints are.
void check_pool(config::Section& root, const EppPlan& plan, const scheduling::PickerConfig& picker,
                config::Problems& problems) {
  const config::FleetSettings& fleet = plan.generation->settings.fleet;
  const bool has_fleet = !fleet.endpoints.empty() || !fleet.endpoints_file.empty();
  if (picker.discovery && has_fleet) {
    root.error("fleet", "gives endpoints, and dataLayer.discovery does too; keep one of them");
  }
  // A discovery that was refused is no reason to speak of Kubernetes.
  const bool has_discovery = picker.discovery || root.child("dataLayer").has("discovery");
  using enum config::EndpointsFrom;
  config::check_endpoints(has_discovery ? kDiscovery
                          : has_fleet   ? kFleet
                                        : kNowhere,
                          plan.generation->epp, problems);
}

std::string judge_responses(config::Section& root, const config::EppSettings& settings,
                            const scheduling::PickerConfig& picker) {
  const auto need = scheduling::response_need(picker);
  if (settings.response_processing != config::ResponseProcessing::kNone) {
    return need ? fmt::format("full: {} {}", need->plugin, need->why)
                : "full: no plugin needs them, but the metrics of responses do";
  }
  if (!need) return "none: no plugin needs them; their metrics stay at zero";
  root.child("epp").error("responseProcessing",
                          fmt::format("none is not possible: {} {}", need->plugin, need->why));
  return {};
}

// The picker's tick is a flag's, and no longer than its source's interval; the source is asked
// every so many ticks.
Duration scrape_interval(Duration tick, Duration interval) {
  const Duration base = std::max(Duration(kShortestTick), std::min(tick, interval));
  return std::max<std::int64_t>(1, (interval + base / 2) / base) * base;
}

void apply(config::Section& root, const config::GivenFlags& flags,
           const scheduling::PickerConfig& picker, Generation& generation) {
  const config::EppSettings& epp = generation.epp;
  config::ServeSettings& settings = generation.settings;
  settings.gateway.workers = epp.workers;
  settings.gateway.access_log = epp.access_log;
  if (!epp.traces) settings.tracing.endpoint.clear();
  settings.gateway.drain_timeout = epp.drain_timeout;
  settings.limits.body_bytes = epp.request_bytes_max;
  settings.limits.buffered_bytes = epp.buffered_bytes_max;
  if (epp.log_level) settings.log.level = *epp.log_level;
  if (epp.tls.is_on && !epp.tls.folder.empty()) {
    settings.gateway.tls.cert_file = epp.tls.folder + "/tls.crt";
    settings.gateway.tls.key_file = epp.tls.folder + "/tls.key";
    settings.gateway.tls.client_ca_file = epp.tls.client_ca;
    settings.gateway.tls.min_minor = epp.tls.min_minor;
    settings.gateway.tls.cipher_list = epp.tls.cipher_list;
  }
  if (picker.discovery) {
    settings.fleet.endpoints_file = picker.discovery->path;
    settings.fleet.endpoints_format = config::EndpointsFormat::kDiscovery;
    settings.fleet.endpoints_file_is_watched = picker.discovery->watch;
  }
  const bool is_told = flags.last("refresh-metrics-interval") != nullptr;
  if (picker.metrics_interval) {
    settings.fleet.scrape_interval =
        scrape_interval(epp.metrics_interval, *picker.metrics_interval);
  } else if (is_told || !root.child("fleet").has("scrapeInterval")) {
    settings.fleet.scrape_interval = epp.metrics_interval;
  }
}

}  // namespace

std::shared_ptr<Generation> build_generation(std::string_view yaml, std::string_view file,
                                             std::string_view policy, config::Problems& problems) {
  auto generation = std::make_shared<Generation>();
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Section root = config::Section::parse(yaml, file, problems);
  generation->settings = config::parse_settings(root);
  scheduling::BuiltPolicy built =
      scheduling::build_policy(root, registry, {picker::filled_columns()}, problems);
  root.finish();
  if (!policy.empty()) {
    const std::string_view shipped = scheduling::shipped_policy(policy);
    if (shipped.empty()) {
      problems.add({"--policy", 0, "",
                    fmt::format("there is no policy {}; choose one of {}, or of {}", policy,
                                fmt::join(scheduling::shipped_policy_names(), ", "),
                                fmt::join(scheduling::peer_policy_names(), ", "))});
      return nullptr;
    }
    built = build_from(shipped, policy, problems);
    built.name = policy;
  }
  if (problems.has_errors() || !built.profile) return nullptr;
  if (built.picker.metrics_interval && !root.child("fleet").has("scrapeInterval")) {
    generation->settings.fleet.scrape_interval = *built.picker.metrics_interval;
  }
  check_tokens(root, generation->settings, built.picker);
  take(built, *generation);
  return generation;
}

std::optional<EppPlan> build_epp(std::string_view yaml, std::string_view file,
                                 const config::GivenFlags& flags,
                                 const config::EppEnvironment& environment,
                                 config::Problems& problems) {
  EppPlan plan;
  plan.generation = std::make_shared<Generation>();
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Section root = config::Section::parse(yaml, file, problems);
  plan.generation->epp = config::read_epp_settings(root, flags, environment, problems);
  plan.generation->settings = shared_settings(root);
  // All that the proxy tells of a request is known.
  const scheduling::PolicyRules rules{scheduling::kAllColumns, scheduling::Front::kEnvoy,
                                      plan.generation->epp.allows_experimental
                                          ? scheduling::Experimental::kAllowed
                                          : scheduling::Experimental::kRefused};
  scheduling::BuiltPolicy built = scheduling::build_policy(root, registry, rules, problems);
  root.finish();
  check_pool(root, plan, built.picker, problems);
  if (problems.has_errors() || !built.profile) return std::nullopt;
  plan.effective = scheduling::effective_yaml(built);
  plan.graph = scheduling::plugin_graph(built);
  plan.responses = judge_responses(root, plan.generation->epp, built.picker);
  apply(root, flags, built.picker, *plan.generation);
  check_tokens(root, plan.generation->settings, built.picker);
  take(built, *plan.generation);
  if (problems.has_errors()) return std::nullopt;
  return plan;
}

}  // namespace fairlead::router
