// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/policy_print.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "core/config/wording.h"
#include "core/scheduling/policy_config.h"

namespace fairlead::scheduling {
namespace {

// Who makes which columns. The first type of two with the same columns is the default.
struct Provider {
  std::string_view type;
  Columns makes;
};

constexpr Columns kPrefixColumns{
    Column::kCachedTokens, Column::kOwnUncachedTokens, Column::kColdOrder, Column::kPlacedTokens,
    Column::kReuse,        Column::kShortage,          Column::kColdTokens};
constexpr std::array kProviders = {
    Provider{"approx-prefix-cache-producer", kPrefixColumns},
    Provider{"precise-prefix-cache-producer", kPrefixColumns},
    Provider{"inflight-load-producer",
             {Column::kInFlightRequests, Column::kInFlightTokens, Column::kUnstarted,
              Column::kInFlightContext, Column::kSlowness}},
    Provider{"mm-embeddings-cache-producer", {Column::kMediaCached}},
    Provider{"core-metrics-extractor",
             {Column::kWaiting, Column::kRunning, Column::kKvUsage, Column::kMetricsAge,
              Column::kAdapter, Column::kAdapterRoom, Column::kKvTokens, Column::kOthersTokens,
              Column::kOthersUnstarted, Column::kOthersDecoding}},
};

Columns common(Columns a, Columns b) { return a.missing_from(a.missing_from(b)); }

Columns made_by(std::string_view type) {
  const auto* const found = std::ranges::find(kProviders, type, &Provider::type);
  return found == kProviders.end() ? Columns{} : found->makes;
}

bool has_type(const PickerConfig& config, std::string_view type) {
  return std::ranges::find(config.plugins, type, &PluginUse::type) != config.plugins.end();
}

void add(PickerConfig& config, std::string_view type, Role role) {
  config.plugins.push_back({std::string(type), std::string(type), role, "{}", {}});
}

// Named by a reference, so its name is its type when nobody declared it.
void add_unless_named(PickerConfig& config, std::string_view name, Role role) {
  const auto found = std::ranges::find(config.plugins, name, &PluginUse::name);
  if (found == config.plugins.end()) add(config, name, role);
}

std::string name_of(const PickerConfig& config, std::string_view type) {
  const auto found = std::ranges::find(config.plugins, type, &PluginUse::type);
  return found == config.plugins.end() ? std::string(type) : found->name;
}

std::string quoted(std::string_view name) { return config::yaml_quoted(name); }

std::string plugin_line(const PluginUse& plugin) {
  std::string line = fmt::format("- {{type: {}", plugin.type);
  if (plugin.name != plugin.type) line += ", name: " + quoted(plugin.name);
  if (plugin.parameters != "{}") line += ", parameters: " + plugin.parameters;
  return line + "}\n";
}

std::string profile_lines(const Profile& profile) {
  std::string out =
      fmt::format("schedulingProfiles:\n- name: {}\n  plugins:\n", quoted(profile.name));
  // What is a filter and a scorer is named once, in its place among the filters.
  std::vector<std::string_view> named;
  for (const auto& filter : profile.filters) {
    const auto& scorers = profile.scorers;
    const auto twin = std::ranges::find(scorers, filter.name, &Profile::WeightedScorer::name);
    const std::string weight =
        twin == scorers.end() ? std::string() : fmt::format(", weight: {}", twin->weight);
    out += fmt::format("  - {{pluginRef: {}{}}}\n", quoted(filter.name), weight);
    named.push_back(filter.name);
  }
  for (const auto& scorer : profile.scorers) {
    if (std::ranges::find(named, scorer.name) != named.end()) continue;
    out += fmt::format("  - {{pluginRef: {}, weight: {}}}\n", quoted(scorer.name), scorer.weight);
  }
  return out + fmt::format("  - {{pluginRef: {}}}\n", quoted(profile.picker_name));
}

std::string data_layer_lines(const PickerConfig& config) {
  std::string out = "dataLayer:\n  sources:\n";
  for (const SourceUse& source : config.sources) {
    std::string extractors;
    for (const std::string& name : source.extractors) {
      extractors +=
          fmt::format("{}{{pluginRef: {}}}", extractors.empty() ? "" : ", ", quoted(name));
    }
    out +=
        fmt::format("  - {{pluginRef: {}, extractors: [{}]}}\n", quoted(source.name), extractors);
  }
  if (!config.discovery) return out;
  return out + fmt::format("  discovery: {{pluginRef: {}}}\n", quoted(config.discovery_name));
}

// "NAME reads a, b", or only the name.
std::string member_line(const PickerConfig& config, std::string_view kind, const std::string& name,
                        float weight) {
  std::string line = fmt::format("{} {}", kind, name);
  if (weight >= 0) line += fmt::format(" x {}", weight);
  const auto found = std::ranges::find(config.plugins, name, &PluginUse::name);
  if (found == config.plugins.end() || found->reads.none()) return line + "\n";
  return line + " <- " + to_string(found->reads) + "\n";
}

std::string provider_lines(const PickerConfig& config, Columns reads) {
  std::string out;
  const auto columns = [&](std::string_view name) {
    const auto found = std::ranges::find(config.plugins, name, &PluginUse::name);
    const Columns made = found == config.plugins.end() ? Columns{} : made_by(found->type);
    const Columns read = common(made, reads);
    return read.none() ? std::string() : " -> " + to_string(read);
  };
  for (const SourceUse& source : config.sources) {
    if (source.extractors.empty()) out += fmt::format("source {}\n", source.name);
    for (const std::string& name : source.extractors) {
      out += fmt::format("source {} -> {}{}\n", source.name, name, columns(name));
    }
  }
  for (const PluginUse& plugin : config.plugins) {
    if (plugin.role != Role::kProducer) continue;
    out += fmt::format("producer {}{}\n", plugin.name, columns(plugin.name));
  }
  return out;
}

}  // namespace

void add_default_plugins(const Profile& profile, PickerConfig& config) {
  bool has_prefixes = false;
  for (const Provider& provider : kProviders) {
    const bool is_prefix = !common(provider.makes, kPrefixColumns).none();
    has_prefixes = has_prefixes || (is_prefix && has_type(config, provider.type));
  }
  for (const Provider& provider : kProviders) {
    const bool is_prefix = !common(provider.makes, kPrefixColumns).none();
    if (common(profile.reads, provider.makes).none() || has_type(config, provider.type) ||
        (is_prefix && has_prefixes) || provider.type == "core-metrics-extractor") {
      continue;
    }
    add(config, provider.type, Role::kProducer);
    has_prefixes = has_prefixes || is_prefix;
  }
  if (!common(profile.reads, kPrefixColumns).none() && !has_type(config, "token-producer") &&
      !has_type(config, "tokenizer")) {
    add(config, "token-producer", Role::kProducer);
  }
  for (const SourceUse& source : config.sources) {
    add_unless_named(config, source.name, Role::kSource);
    for (const std::string& name : source.extractors) {
      add_unless_named(config, name, Role::kExtractor);
    }
  }
  for (const ParserKind parser : config.parsers) {
    if (!has_type(config, type_name(parser))) add(config, type_name(parser), Role::kParser);
  }
  if (!has_type(config, "single-profile-handler")) {
    add(config, "single-profile-handler", Role::kHandler);
  }
  add_unless_named(config, config.detector, Role::kDetector);
  add_unless_named(config, profile.picker_name, Role::kPicker);
}

std::string effective_yaml(const BuiltPolicy& policy) {
  const PickerConfig& config = policy.picker;
  std::string out =
      "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
      "featureGates: [flowControl=false, haPopulateNonLeaderDatastore=true]\nplugins:\n";
  for (const PluginUse& plugin : config.plugins) out += plugin_line(plugin);
  if (policy.profile) out += profile_lines(*policy.profile);
  out += data_layer_lines(config) + "requestHandler:\n  parsers:\n";
  for (const ParserKind parser : config.parsers) {
    out += fmt::format("  - {{pluginRef: {}}}\n", quoted(name_of(config, type_name(parser))));
  }
  return out + fmt::format("flowControl:\n  saturationDetector: {{pluginRef: {}}}\n",
                           quoted(config.detector));
}

std::string plugin_graph(const BuiltPolicy& policy) {
  const PickerConfig& config = policy.picker;
  if (!policy.profile) return {};
  const Profile& profile = *policy.profile;
  constexpr float kNoWeight = -1;
  std::string out = provider_lines(config, profile.reads);
  for (const auto& admitter : profile.admitters) {
    out += member_line(config, "admitter", admitter.name, kNoWeight);
  }
  for (const auto& filter : profile.filters) {
    out += member_line(config, "filter", filter.name, kNoWeight);
  }
  for (const auto& scorer : profile.scorers) {
    out += member_line(config, "scorer", scorer.name, scorer.weight);
  }
  out += member_line(config, "picker", profile.picker_name, kNoWeight);
  for (const auto& reporter : profile.reporters) {
    out += member_line(config, "reporter", reporter.name, kNoWeight);
  }
  std::string parsers;
  for (const ParserKind parser : config.parsers) {
    parsers += fmt::format("{}{}", parsers.empty() ? "" : ", ", type_name(parser));
  }
  return out + "parsers " + parsers + "\n";
}

}  // namespace fairlead::scheduling
