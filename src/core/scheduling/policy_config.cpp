// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/policy_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "core/config/wording.h"
#include "core/scheduling/policy_builder.h"
#include "core/scheduling/policy_print.h"

namespace fairlead::scheduling {
namespace {

using config::in_quotes;
using config::Section;

constexpr std::string_view kApiVersion = "llm-d.ai/v1alpha1";
constexpr std::string_view kOldApiVersion = "inference.networking.x-k8s.io/v1alpha1";
constexpr std::string_view kKind = "EndpointPickerConfig";
constexpr std::string_view kMetricsSource = "metrics-data-source";
constexpr std::string_view kMetricsExtractor = "core-metrics-extractor";

void read_envelope(Section& document) {
  const std::string version = document.text("apiVersion", kApiVersion);
  if (version == kOldApiVersion) {
    document.warning("apiVersion", fmt::format("deprecated; write {}", kApiVersion));
  } else if (version != kApiVersion) {
    document.error("apiVersion",
                   fmt::format("unknown version {}; write {}", in_quotes(version), kApiVersion));
  }
  const std::string kind = document.text("kind", kKind);
  if (kind != kKind) {
    document.error("kind", fmt::format("unknown kind {}; write {}", in_quotes(kind), kKind));
  }
}

void read_feature_gate(const Section& document, std::string_view gate) {
  const std::size_t equals = gate.find('=');
  const std::string_view name = gate.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? "true" : gate.substr(equals + 1);
  if (value != "true" && value != "false") {
    document.error("featureGates", fmt::format("{} must be =true or =false", in_quotes(gate)));
  } else if (name == "flowControl") {
    if (value == "true") {
      document.error("featureGates", "not supported yet: flowControl; requests are not queued");
    }
  } else if (name == "haPopulateNonLeaderDatastore") {
    if (value == "false") {
      document.warning("featureGates",
                       "haPopulateNonLeaderDatastore=false has no effect: there is no leader");
    }
  } else {
    document.error(
        "featureGates",
        fmt::format("unknown gate {}{}", in_quotes(name),
                    config::did_you_mean(name, {"flowControl", "haPopulateNonLeaderDatastore"})));
  }
}

// The document's sources, and what llm-d adds to them.
class DataLayerReader {
 public:
  DataLayerReader(Section& document, const PolicyBuilder& builder, const PolicyRules& rules,
                  PickerConfig& config)
      : layer_(document.child("dataLayer")), builder_(builder), rules_(rules), config_(config) {}

  void read() {
    for (Section& source : layer_.children("sources")) read_source(source);
    add_default_source();
    config_.events = builder_.declared_events();
    read_discovery();
    if (layer_.has("peerDiscovery")) {
      layer_.warning("peerDiscovery", "has no effect: pickers do not talk to each other");
      Section peers = layer_.child("peerDiscovery");
      peers.required_text("pluginRef");
      peers.finish();
    }
    if (layer_.has("crossReplicaSyncerPluginRef")) {
      layer_.error("crossReplicaSyncerPluginRef",
                   "not supported yet: state shared between replicas; remove it");
    }
    layer_.skip("crossReplicaSyncerPluginRef");
    if (layer_.has("crossReplicaSyncInterval")) {
      layer_.duration("crossReplicaSyncInterval", kTick, kTick, std::chrono::hours(1));
      layer_.warning("crossReplicaSyncInterval", "has no effect: nothing is shared");
    }
    layer_.finish();
  }

 private:
  static constexpr Duration kTick = std::chrono::milliseconds(1);

  void read_source(Section& source) {
    const auto found = builder_.reference(source, Role::kSource);
    SourceUse use;
    for (Section& extractor : source.children("extractors")) {
      const auto reader = builder_.reference(extractor, Role::kExtractor);
      extractor.finish();
      if (!reader || !found) continue;
      if (reader->type->reads != found->type->type) {
        extractor.error("pluginRef",
                        fmt::format("{} extracts from {}, not from {}", in_quotes(reader->name),
                                    reader->type->reads, found->type->type));
      } else if (std::ranges::find(use.extractors, reader->name) != use.extractors.end()) {
        extractor.error("pluginRef",
                        fmt::format("{} is an extractor of it already", in_quotes(reader->name)));
      } else {
        use.extractors.push_back(reader->name);
      }
    }
    source.finish();
    if (!found) return;
    use.name = found->name;
    use.type = found->type->type;
    if (std::ranges::find(config_.sources, use.name, &SourceUse::name) != config_.sources.end()) {
      source.error("pluginRef", fmt::format("{} is a source already", in_quotes(use.name)));
    }
    if (use.type == kMetricsSource) {
      config_.metrics_interval = found->values.interval;
      config_.metrics_place = found->values.place;
      if (use.extractors.empty()) {
        source.warning("", fmt::format("{} reads it, named here or not", kMetricsExtractor));
      }
    }
    config_.sources.push_back(std::move(use));
  }

  void add_default_source() {
    const bool injects = layer_.boolean("injectDefaults").value_or(true);
    const auto& sources = config_.sources;
    if (std::ranges::find(sources, kMetricsSource, &SourceUse::type) != sources.end()) return;
    if (!injects) {
      layer_.warning("injectDefaults", "has no effect: engines are scraped all the same");
    }
    config_.sources.push_back({std::string(kMetricsSource),
                               std::string(kMetricsSource),
                               {std::string(kMetricsExtractor)}});
    if (const auto* values = builder_.declared_values(kMetricsSource)) {
      config_.metrics_interval = values->interval;
      config_.metrics_place = values->place;
    }
  }

  void read_discovery() {
    if (!layer_.has("discovery")) return layer_.skip("discovery");
    Section discovery = layer_.child("discovery");
    const auto found = builder_.reference(discovery, Role::kDiscovery);
    discovery.finish();
    if (rules_.front == Front::kGateway) {
      layer_.error("discovery", "not supported here: endpoints come from fleet:");
    } else if (found) {
      config_.discovery = found->values.discovery;
      config_.discovery_name = found->name;
    }
  }

  Section layer_;
  const PolicyBuilder& builder_;
  const PolicyRules& rules_;
  PickerConfig& config_;
};

// The old form gives way to the new one.
void read_parsers(Section& document, const PolicyBuilder& builder, const PolicyRules& rules,
                  PickerConfig& config) {
  std::vector<ParserKind> parsers;
  const auto add = [&](Section& holder) {
    const auto found = builder.reference(holder, Role::kParser);
    holder.finish();
    const auto kind = found ? parser_kind(found->type->type) : std::nullopt;
    if (!kind) return;
    if (!parsers.empty() && parsers.back() == ParserKind::kPassthrough) {
      holder.warning("pluginRef", "is never asked: passthrough-parser before it takes every path");
    } else if (std::ranges::find(parsers, *kind) != parsers.end()) {
      holder.warning("pluginRef", fmt::format("has no effect: a second {}", type_name(*kind)));
    } else {
      parsers.push_back(*kind);
    }
    if (rules.front == Front::kGateway && *kind != ParserKind::kOpenAi) {
      holder.warning("pluginRef", "has no effect: the gateway's routes are fixed");
    }
  };
  Section handler = document.child("requestHandler");
  for (Section& parser : handler.children("parsers")) add(parser);
  handler.finish();
  Section old = document.child("parser");
  if (document.has("parser")) {
    const bool is_needed = parsers.empty();
    document.warning("parser", is_needed ? "deprecated; write requestHandler.parsers"
                                         : "has no effect beside requestHandler.parsers");
    if (is_needed) {
      add(old);
    } else {
      builder.reference(old, Role::kParser);
    }
  }
  old.finish();
  if (!parsers.empty()) config.parsers = std::move(parsers);
}

void read_detector(Section& document, Section& flow, const PolicyBuilder& builder,
                   const PolicyRules& rules, PickerConfig& config) {
  const auto read = [&](Section& parent) {
    Section holder = parent.child("saturationDetector");
    const std::string name = builder.detector(holder);
    holder.finish();
    if (rules.front == Front::kGateway) {
      parent.warning("saturationDetector",
                     "has no effect: the gateway knows no priorities that might be shed");
    }
    if (!name.empty()) config.detector = name;
  };
  if (document.has("saturationDetector")) {
    document.warning("saturationDetector", "deprecated; write flowControl.saturationDetector");
    read(document);
  }
  document.skip("saturationDetector");
  if (flow.has("saturationDetector")) read(flow);
  flow.skip("saturationDetector");
}

// What is read of a document whatever its policy is.
void read_rest(Section& document, const PolicyBuilder& builder, const PolicyRules& rules,
               PickerConfig& config) {
  DataLayerReader(document, builder, rules, config).read();
  read_parsers(document, builder, rules, config);
  Section flow = document.child("flowControl");
  read_detector(document, flow, builder, rules, config);
  for (const std::string& key : flow.keys()) {
    if (key == "saturationDetector") continue;
    flow.skip(key);
    flow.error(key, "not supported yet: flow control; remove it");
  }
}

std::vector<std::string_view> names_of(std::span<const ShippedPolicy> policies) {
  std::vector<std::string_view> names;
  for (const ShippedPolicy& policy : policies) names.push_back(policy.name);
  return names;
}

// A shipped policy is trusted to mean what it says.
std::unique_ptr<Profile> build_shipped(std::string_view name, std::string_view yaml,
                                       const Registry& registry, const PolicyRules& rules,
                                       BuiltPolicy& built, config::Problems& problems) {
  Section document = Section::parse(yaml, fmt::format("policy {}", name), problems);
  const PolicyRules own{rules.filled, rules.front, Experimental::kAllowed};
  read_envelope(document);
  PolicyBuilder builder(registry, own, problems);
  builder.read_plugins(document);
  auto profile = builder.read_profiles(document);
  document.finish();
  built.picker.plugins = builder.uses();
  if (const auto events = builder.declared_events()) built.picker.events = events;
  return profile;
}

}  // namespace

BuiltPolicy build_policy(Section& root, const Registry& registry, const PolicyRules& rules,
                         config::Problems& problems) {
  BuiltPolicy built;
  built.name =
      root.text("policy", rules.front == Front::kEnvoy ? kDefaultEnvoyPolicy : kDefaultPolicy);
  read_envelope(root);
  for (const std::string& gate : root.texts("featureGates")) read_feature_gate(root, gate);
  PolicyBuilder builder(registry, rules, problems);
  builder.read_plugins(root);
  const bool is_named = root.has("policy");
  const bool is_shipped = is_named || (!root.has("plugins") && !root.has("schedulingProfiles"));
  if (is_named && (builder.has_members() || root.has("schedulingProfiles"))) {
    root.error("policy", "names a shipped policy, but plugins are given too; remove one of them");
  }
  std::unique_ptr<Profile> profile;
  if (!is_shipped || root.has("schedulingProfiles")) {
    profile = builder.read_profiles(root);
  } else {
    root.skip("schedulingProfiles");
  }
  read_rest(root, builder, rules, built.picker);
  if (is_shipped) {
    const std::string_view yaml = shipped_policy(built.name);
    if (yaml.empty()) {
      auto names = shipped_policy_names();
      const auto peers = peer_policy_names();
      names.insert(names.end(), peers.begin(), peers.end());
      root.error("policy",
                 fmt::format("unknown policy {}{}; there are {}", in_quotes(built.name),
                             config::did_you_mean(built.name, names), fmt::join(names, ", ")));
      return built;
    }
    profile = build_shipped(built.name, yaml, registry, rules, built, problems);
  } else {
    built.name = "custom";
  }
  if (profile && !problems.has_errors()) {
    builder.add_standing(*profile);
    if (rules.front == Front::kEnvoy) builder.add_detector(built.picker.detector, *profile);
  }
  const std::vector<PluginUse> own = builder.uses();
  built.picker.plugins.insert(built.picker.plugins.begin(), own.begin(), own.end());
  if (profile) add_default_plugins(*profile, built.picker);
  if (!problems.has_errors()) built.profile = std::move(profile);
  return built;
}

std::vector<std::string_view> shipped_policy_names() { return names_of(shipped_policies()); }

std::vector<std::string_view> peer_policy_names() { return names_of(peer_policies()); }

std::string_view shipped_policy(std::string_view name) {
  for (const auto policies : {shipped_policies(), peer_policies()}) {
    const auto found = std::ranges::find(policies, name, &ShippedPolicy::name);
    if (found != policies.end()) return found->yaml;
  }
  return {};
}

}  // namespace fairlead::scheduling
