// SPDX-License-Identifier: Apache-2.0
// PickerConfig: what an EndpointPickerConfig says beside its scheduling profile, as values: where
// figures and endpoints come from, who reads requests, when the pool is full. Defaults are llm-d's.
// Values, made by policy_config.cpp; immutable afterwards.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "core/scheduling/candidates.h"
#include "core/scheduling/known_types.h"
#include "core/scheduling/kv_event_settings.h"

namespace fairlead::scheduling {

enum class ParserKind : std::uint8_t { kOpenAi, kAnthropic, kVllmHttp, kSglangHttp, kPassthrough };

// The type that has answers tell which endpoint served, for conformance tests.
inline constexpr std::string_view kServedVerifier = "destination-endpoint-served-verifier";

std::string_view type_name(ParserKind parser);
std::optional<ParserKind> parser_kind(std::string_view type);

// The parser that claims the end of the path; no two claim the same. The passthrough parser, which
// is the last one, claims every path. `path` has no query. nullopt: nobody reads it. The OpenAI
// parser also claims what llm-d has no parser for.
std::optional<ParserKind> parser_for(std::span<const ParserKind> parsers, std::string_view path);

// Endpoints from a watched file, see config::parse_discovery_file().
struct FileDiscovery {
  std::string path;
  bool watch = false;  // Read it again when it changes.
};

// Where the metrics source finds an endpoint's figures.
struct MetricsPlace {
  std::string path = "/metrics";
  std::uint16_t port = 0;  // 0: the endpoint's own.
};

struct SourceUse {
  std::string name;
  std::string type;
  std::vector<std::string> extractors;  // Names.
};

// One plugin of the document, or one that was added because another needs it.
struct PluginUse {
  std::string name;
  std::string type;
  Role role = Role::kFilter;
  std::string parameters;  // YAML's flow form, as written.
  Columns reads;           // Nothing when it is in no profile.
};

struct PickerConfig {
  std::vector<PluginUse> plugins;  // In the order of the document, then the added ones.
  std::vector<SourceUse> sources;  // Never without metrics-data-source.
  std::optional<FileDiscovery> discovery;
  std::string discovery_name;
  std::optional<Duration> metrics_interval;  // Of the metrics source; nothing: every tick.
  MetricsPlace metrics_place;
  std::vector<ParserKind> parsers{ParserKind::kOpenAi, ParserKind::kAnthropic,
                                  ParserKind::kVllmHttp, ParserKind::kPassthrough};
  std::optional<KvEventSettings> events;          // Nothing: engines are not listened to.
  std::string detector = "utilization-detector";  // A name; the plugin is an admitter.
};

// Why the picker has to see responses.
struct ResponseNeed {
  std::string plugin;
  std::string why;
};

// The first plugin in use that is wrong or blind when responses do not pass the picker: it reads
// what a response's begin or end changes, or writes to responses. nullopt: they may pass it by.
std::optional<ResponseNeed> response_need(const PickerConfig& config);

}  // namespace fairlead::scheduling
