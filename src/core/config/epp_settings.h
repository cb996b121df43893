// SPDX-License-Identifier: Apache-2.0
// EppSettings: everything `fairlead epp` can be told besides its EndpointPickerConfig, the `fleet`,
// `prefix`, `tracing` and `log` settings (settings.h). They come from flags, which are those of
// llm-d's endpoint picker with its defaults, and from the key `epp` of the configuration file; a
// flag that was given wins. Sizes are bytes, times are Durations.
//
//   GivenFlags flags = parse_go_flags(words, epp_flag_names(), problems);
//   // ... read the file that config_source() names ...
//   EppSettings settings = read_epp_settings(root, flags, environment, problems);
//
// Ranges are in epp_settings.cpp. Values; pure functions. Source: llm-d-router v0.10, its flags.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/time.h"
#include "core/config/endpoints.h"
#include "core/config/go_flags.h"
#include "core/config/section.h"

namespace fairlead::config {

// Whether responses pass the picker.
enum class ResponseProcessing : std::uint8_t {
  kAuto,  // Where something needs them; metrics of responses do, so it is kFull today.
  kFull,
  kNone,  // Only where no plugin needs them, see scheduling::response_need().
};
std::string_view to_string(ResponseProcessing processing);

struct EppPool {
  std::string name;  // In metrics; of --pool-name, or of the Deployment that this pod belongs to.
  std::string selector;  // Empty: the pool is named.
  friend bool operator==(const EppPool&, const EppPool&) = default;
};

// TLS towards the proxy. Without a folder the certificate is made up at start.
struct EppTls {
  bool is_on = true;
  std::string folder;          // Of tls.crt and tls.key.
  std::string client_ca;       // Of whom the proxy's certificate must be; empty: it needs none.
  std::uint8_t min_minor = 2;  // TLS 1.x.
  std::string cipher_list;     // Of TLS 1.2, as OpenSSL writes it; empty: its default.
  friend bool operator==(const EppTls&, const EppTls&) = default;
};

// Requests whose objective header names it have its priority; below 0 they may be shed.
struct Objective {
  std::string name;
  std::int32_t priority = 0;
  friend bool operator==(const Objective&, const Objective&) = default;
};

struct EppSettings {
  std::vector<HostPort> listen{{"0.0.0.0", 9002}};
  std::vector<HostPort> health_listen{{"0.0.0.0", 9003}};
  std::vector<HostPort> metrics_listen{{"0.0.0.0", 9090}};
  HostPort admin_listen{"127.0.0.1", 9091};  // Page and explain; `metrics_listen` has neither.
  EppPool pool;
  std::vector<Objective> objectives;
  EppTls tls;
  std::string access_log;  // A path, "-" for standard output, "" for none.
  ResponseProcessing response_processing = ResponseProcessing::kAuto;
  std::uint32_t workers = 1;
  std::size_t request_bytes_max = std::size_t{64} << 20;  // Of one request's body.
  std::size_t buffered_bytes_max = std::size_t{1} << 30;  // Of all bodies together.
  std::size_t message_bytes_max = std::size_t{4} << 20;   // Of one gRPC message.
  std::uint32_t streams_max = 20'000;                     // Requests at a time, all workers.
  Duration drain_timeout = from_seconds(30);
  Duration metrics_interval = std::chrono::milliseconds(50);  // Between two scrapes.
  Duration metrics_staleness = from_seconds(2);
  bool health_on_listen = false;      // grpc.health.v1 on `listen` too.
  bool ignores_subset = false;        // The proxy's subset hint.
  bool tells_scores = false;          // Of all endpoints that were rated, to the proxy.
  bool traces = true;                 // Where tracing.endpoint says whereto.
  bool allows_experimental = false;   // Plugin types marked Alpha.
  std::optional<LogLevel> log_level;  // Of the flags; wins over log.level.
  // 0 for a name that is none.
  std::int32_t priority_of(std::string_view objective) const;
  friend bool operator==(const EppSettings&, const EppSettings&) = default;
};

// What of the environment is read.
struct EppEnvironment {
  std::string pod_name;  // POD_NAME
};

enum class FlagUse : std::uint8_t {
  kHonoured,
  kNoEffect,  // Accepted; mostly with a warning when it asks for something.
  kRefused,
};

struct EppFlag {
  std::string_view name;
  FlagShape shape;
  std::string_view fallback;  // As written; empty: none.
  FlagUse use;
  std::string_view text;  // What it does, or why it does nothing.
};

std::span<const EppFlag> epp_flags();
std::vector<FlagName> epp_flag_names();
// One line a flag, for --help.
std::string epp_flags_text();

// Where the EndpointPickerConfig is: a file's name, or its text, or neither.
struct ConfigSource {
  std::string file;
  std::string text;
};
ConfigSource config_source(const GivenFlags& flags, Problems& problems);

// Reads the key `epp` of `root`, which the caller finishes.
EppSettings read_epp_settings(Section& root, const GivenFlags& flags,
                              const EppEnvironment& environment, Problems& problems);

// The key `epp` with every value of it, as read_epp_settings() reads it.
std::string effective_yaml(const EppSettings& settings);

// Where endpoints come from.
enum class EndpointsFrom : std::uint8_t { kNowhere, kFleet, kDiscovery };
// Without endpoints the pool would have to be found through Kubernetes, which is a problem.
void check_endpoints(EndpointsFrom from, const EppSettings& settings, Problems& problems);

}  // namespace fairlead::config
