// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/policy_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/config/wording.h"
#include "core/scheduling/policy_builder.h"

namespace fairlead::scheduling {
namespace {

using config::in_quotes;
using config::Section;

constexpr std::string_view kApiVersion = "llm-d.ai/v1alpha1";
constexpr std::string_view kOldApiVersion = "inference.networking.x-k8s.io/v1alpha1";
constexpr std::string_view kKind = "EndpointPickerConfig";

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

// Refuses every key that is left in a part of the document.
void refuse_keys(Section& part, std::string_view reason) {
  for (const std::string& key : part.keys()) {
    part.skip(key);
    part.error(key, fmt::format("not supported yet: {}; remove it", reason));
  }
}

void read_data_layer(Section& document, const PolicyBuilder& builder) {
  Section layer = document.child("dataLayer");
  bool has_metrics = false;
  for (Section& source : layer.children("sources")) {
    has_metrics = builder.check_reference(source, Role::kSource) || has_metrics;
    for (Section& extractor : source.children("extractors")) {
      builder.check_reference(extractor, Role::kExtractor);
      extractor.finish();
    }
    source.finish();
  }
  if (!layer.boolean("injectDefaults").value_or(true) && !has_metrics) {
    layer.error("injectDefaults",
                "not supported yet: engines without scraping; name metrics-data-source as a "
                "source or leave this key out");
  }
  for (const std::string_view key :
       {"discovery", "peerDiscovery", "crossReplicaSyncerPluginRef", "crossReplicaSyncInterval"}) {
    if (layer.has(key)) layer.error(key, "not supported yet; endpoints come from fleet:");
    layer.skip(key);
  }
  layer.finish();
}

void read_parsers(Section& document, const PolicyBuilder& builder) {
  Section handler = document.child("requestHandler");
  for (Section& parser : handler.children("parsers")) {
    builder.check_reference(parser, Role::kParser);
    parser.finish();
  }
  handler.finish();
  if (document.has("parser"))
    document.warning("parser", "deprecated; write requestHandler.parsers");
  Section old = document.child("parser");
  if (!old.keys().empty()) builder.check_reference(old, Role::kParser);
  old.finish();
}

std::unique_ptr<Profile> build_document(Section& document, const Registry& registry, Columns filled,
                                        config::Problems& problems) {
  read_envelope(document);
  for (const std::string& gate : document.texts("featureGates")) {
    read_feature_gate(document, gate);
  }
  PolicyBuilder builder(registry, filled, problems);
  builder.read_plugins(document);
  auto profile = builder.read_profiles(document);
  read_data_layer(document, builder);
  read_parsers(document, builder);
  Section flow = document.child("flowControl");
  refuse_keys(flow, "flow control");
  Section detector = document.child("saturationDetector");
  refuse_keys(detector, "saturation detectors");
  return profile;
}

}  // namespace

BuiltPolicy build_policy(Section& root, const Registry& registry, Columns filled,
                         config::Problems& problems) {
  BuiltPolicy built;
  built.name = root.text("policy", kDefaultPolicy);
  const bool has_plugins = root.has("plugins") || root.has("schedulingProfiles");
  if (root.has("policy") && has_plugins) {
    root.error("policy", "names a shipped policy, but plugins are given too; remove one of them");
  }
  auto profile = build_document(root, registry, filled, problems);
  if (root.has("policy") || !has_plugins) {
    const std::string_view yaml = shipped_policy(built.name);
    if (yaml.empty()) {
      const auto names = shipped_policy_names();
      root.error("policy",
                 fmt::format("unknown policy {}{}; there are {}", in_quotes(built.name),
                             config::did_you_mean(built.name, names), fmt::join(names, ", ")));
      return built;
    }
    Section shipped = Section::parse(yaml, fmt::format("policy {}", built.name), problems);
    profile = build_document(shipped, registry, filled, problems);
    shipped.finish();
  } else {
    built.name = "custom";
  }
  if (!problems.has_errors()) built.profile = std::move(profile);
  return built;
}

std::vector<std::string_view> shipped_policy_names() {
  std::vector<std::string_view> names;
  for (const ShippedPolicy& policy : shipped_policies()) names.push_back(policy.name);
  return names;
}

std::string_view shipped_policy(std::string_view name) {
  const auto policies = shipped_policies();
  const auto found = std::ranges::find(policies, name, &ShippedPolicy::name);
  return found == policies.end() ? std::string_view{} : found->yaml;
}

}  // namespace fairlead::scheduling
