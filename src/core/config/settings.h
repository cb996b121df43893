// SPDX-License-Identifier: Apache-2.0
// ServeSettings: everything `fairlead serve` can be told besides its scheduling policy, with the
// defaults. One struct a top-level key of the configuration file; YAML keys are the field names in
// camelCase (limits.bodyBytes). Sizes are bytes, times are Durations.
//
//   Section root = Section::parse(text, "serve.yaml", problems);
//   ServeSettings settings = parse_settings(root);
//   // ... scheduling::build_policy(root, ...) reads the other keys of the same file ...
//   root.finish();
//
// Ranges are in settings.cpp, beside the keys. Values; thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/time.h"
#include "core/config/endpoints.h"
#include "core/config/section.h"

namespace fairlead::config {

struct CorsSettings {
  std::vector<std::string> allow_origins;  // As browsers send them, or "*"; empty: no CORS.
  friend bool operator==(const CorsSettings&, const CorsSettings&) = default;
};

struct CertificateSetting {
  std::string cert_file;  // The server's certificate first, then its chain.
  std::string key_file;
  friend bool operator==(const CertificateSetting&, const CertificateSetting&) = default;
};

// TLS towards clients; all files are PEM, and read again when they change. Empty: plain TCP.
struct ClientTlsSettings {
  std::string cert_file;  // The server's certificate first, then its chain.
  std::string key_file;
  std::vector<CertificateSetting> certificates;  // More of them, each for the names that it has.
  // Not settings of their own: the flags of `fairlead epp` (router/build.cpp).
  std::uint8_t min_minor = 2;  // TLS 1.x.
  std::string cipher_list;     // Of TLS 1.2, as OpenSSL writes it; empty: the default.
  std::string client_ca_file;  // Of whom clients' certificates must be; empty: they need none.
  friend bool operator==(const ClientTlsSettings&, const ClientTlsSettings&) = default;
};

struct Http2Settings {
  std::uint32_t max_concurrent_streams = 256;  // Requests at a time on a connection; 0: no HTTP/2.
  friend bool operator==(const Http2Settings&, const Http2Settings&) = default;
};

// Changing a listener or the number of workers needs a restart.
struct GatewaySettings {
  std::vector<HostPort> listen{{"127.0.0.1", 8080}};
  std::uint32_t workers = 1;                  // Event loops, each a thread.
  HostPort admin_listen{"127.0.0.1", 9090};   // Metrics, health of this process.
  Duration drain_delay = from_seconds(0);     // After SIGTERM: /readyz is 503, but all is served.
  Duration drain_timeout = from_seconds(30);  // Then, before running requests are cut off.
  std::string access_log;                     // A path, "-" for standard output, "" for none.
  std::string request_id_header = "x-request-id";  // Kept when sent, made up otherwise.
  // A streamed piece may wait so long for others, when many pass; 0: never.
  Duration stream_batching = std::chrono::microseconds(500);
  CorsSettings cors;
  ClientTlsSettings tls;
  Http2Settings http2;
  friend bool operator==(const GatewaySettings&, const GatewaySettings&) = default;
};

struct RetrySettings {
  std::uint32_t max_attempts = 3;  // The first one counts; 1 turns retries off.
  double budget_ratio = 0.2;       // Retries allowed per request, averaged over seconds.
  double min_per_second = 10;      // Allowed in any case, so that a quiet router may retry.
  std::size_t buffer_bytes = std::size_t{1} << 20;  // A larger body is not kept for a retry.
  friend bool operator==(const RetrySettings&, const RetrySettings&) = default;
};

// Requests for which no endpoint has room, where the policy binds late (kv-room-admitter).
struct WaitingSettings {
  std::uint32_t requests_max = 1024;     // Of one worker; more are placed at once. 0: nobody waits.
  Duration patience = from_seconds(30);  // Then a request is placed, with room or without.
  friend bool operator==(const WaitingSettings&, const WaitingSettings&) = default;
};

// When an overloaded process does what about it: see core/admission/overload.h. Thresholds are
// shares of a resource's limit.
struct OverloadSettings {
  // Resident memory that counts as full. "auto": nine tenths of what the process may have, by its
  // control group or the machine.
  std::optional<std::size_t> memory_bytes;
  Duration loop_lag = from_seconds(2);  // A worker this late counts as full.
  double stop_keepalive = 0.85;
  double tighten_buffers = 0.85;
  double drop_idle = 0.9;
  double shed_requests = 0.97;
  double refuse_connections = 0.97;
  double hysteresis = 0.05;  // An action ends this much below its threshold.
  friend bool operator==(const OverloadSettings&, const OverloadSettings&) = default;
};

struct LimitSettings {
  std::size_t body_bytes = std::size_t{64} << 20;    // Of a request; larger: 413.
  std::size_t header_bytes = std::size_t{64} << 10;  // Request line and all headers; larger: 431.
  std::uint32_t header_count = 100;                  // More: 431.
  std::uint32_t connections = 10'000;  // From clients, all workers together; more: 503.
  // Of request bodies, all workers together; at least two of the largest. More: 503.
  std::size_t buffered_bytes = std::size_t{1} << 30;
  Duration client_idle = from_seconds(75);   // A kept-alive connection between two requests.
  Duration header_read = from_seconds(10);   // From the first byte of a head to its last: 408.
  Duration body_read = from_seconds(60);     // Between two reads of a request body: 408.
  Duration client_write = from_seconds(60);  // A client that takes nothing of its answer.
  Duration upstream_connect = from_seconds(2);
  Duration upstream_first_byte = from_seconds(600);  // From sent to the response's first byte: 504.
  Duration upstream_idle = from_seconds(300);        // Between two bytes of a response.
  Duration request_total = from_seconds(3600);       // From the first byte in to the last one out.
  std::uint32_t tunnels = 1000;  // Open WebSockets, all workers together; more: 503. 0: none.
  Duration tunnel_idle = from_seconds(300);  // Of one, without a byte either way.
  RetrySettings retry;
  WaitingSettings waiting;
  OverloadSettings overload;
  friend bool operator==(const LimitSettings&, const LimitSettings&) = default;
};

struct AccessSettings {
  std::string keys_file;  // Watched, see access/keys_file.h; empty: nobody is asked for a key.
  friend bool operator==(const AccessSettings&, const AccessSettings&) = default;
};

struct HealthSettings {
  Duration interval = from_seconds(1);  // Between two probes of an endpoint.
  std::string path = "/health";         // Healthy is status 200.
  Duration timeout = from_seconds(1);   // Of one probe.
  std::uint32_t unhealthy_after = 3;    // Failures in a row, of probes and requests together.
  Duration eject = from_seconds(5);     // The first ejection; each following one is twice as long.
  Duration eject_max = from_seconds(60);
  Duration return_ramp = from_seconds(10);  // From a small to the full share after an ejection.
  friend bool operator==(const HealthSettings&, const HealthSettings&) = default;
};

// TLS towards endpoints whose address begins with https://.
struct EngineTlsSettings {
  std::string ca_file;      // PEM, read again when it changes; empty: the system's CAs.
  std::string server_name;  // Expected in the certificates; empty: the endpoint's own host.
  bool insecure_skip_verify = false;
  friend bool operator==(const EngineTlsSettings&, const EngineTlsSettings&) = default;
};

struct FleetSettings {
  std::vector<EndpointSetting> endpoints;
  std::string endpoints_file;  // Watched; its endpoints are added.
  // Not settings of their own: what dataLayer.discovery makes of the file (router/build.cpp).
  EndpointsFormat endpoints_format = EndpointsFormat::kFairlead;
  bool endpoints_file_is_watched = true;
  std::string engine_key_file;  // Watched; holds the key that engines ask for; empty: none.
  Duration scrape_interval = std::chrono::milliseconds(50);  // Of an endpoint's /metrics.
  // Likewise of metrics-data-source: where an endpoint's figures are. Port 0: its own.
  std::string scrape_path = "/metrics";
  std::uint16_t scrape_port = 0;
  Duration models_interval = from_seconds(10);  // Of an endpoint's /v1/models.
  HealthSettings health;
  EngineTlsSettings tls;
  friend bool operator==(const FleetSettings&, const FleetSettings&) = default;
};

struct PrefixSettings {
  std::size_t block_bytes = 1024;  // Of prompt content a key stands for.
  // Bytes of prompt remembered an endpoint. "auto": the size of the engine's KV cache, as the
  // engine reports it, at 4 bytes a token.
  std::optional<std::size_t> bytes_per_endpoint;
  std::size_t bytes_unreported = std::size_t{64} << 20;  // "auto", but nothing reported.
  friend bool operator==(const PrefixSettings&, const PrefixSettings&) = default;
};

// The tokenizer of a model, and its chat template, from a Hugging Face folder.
struct TokenizerFolder {
  std::string model;  // As clients name it.
  std::string folder;
  friend bool operator==(const TokenizerFolder&, const TokenizerFolder&) = default;
};

// How prompts are tokenized where engines are listened to. Without any model the estimate rule is
// used, which is that of the simulated engines.
struct TokenizingSettings {
  std::vector<TokenizerFolder> models;
  std::uint32_t threads = 1;
  // What is not done so long after its request came is left to byte keys.
  Duration deadline = std::chrono::milliseconds(50);
  std::uint32_t queue_max = 256;                        // Requests that wait for a thread.
  std::size_t queue_bytes_max = std::size_t{64} << 20;  // Of their bodies.
  std::size_t cache_bytes_max = std::size_t{64} << 20;  // Tokens of texts seen before.
  friend bool operator==(const TokenizingSettings&, const TokenizingSettings&) = default;
};

// What of the router's knowledge outlives the process.
struct RestartSettings {
  std::string directory;                 // Of the file, which exists; empty: nothing is kept.
  Duration interval = from_seconds(30);  // Between two saves.
  std::size_t bytes_max = std::size_t{256} << 20;  // Of the file; what is beyond it is left out.
  friend bool operator==(const RestartSettings&, const RestartSettings&) = default;
};

inline constexpr std::size_t kReplicaAddressesMax = 64;  // That are told, of names too.

// What the routers of one fleet tell each other. Without addresses nobody is told anything.
struct ReplicaSettings {
  HostPort listen{"127.0.0.1", 9464};  // Where the others tell this one.
  // Of the others, where they are told; a name stands for all addresses that it has, and this
  // router's may be among them.
  std::vector<std::string> addresses;
  std::string secret_file;  // The same on all of them, read at the start.
  friend bool operator==(const ReplicaSettings&, const ReplicaSettings&) = default;
};

// Traces of requests, sent to an OpenTelemetry collector.
struct TracingSettings {
  std::string endpoint;  // http://host:port or https://host:port of OTLP/HTTP; empty: no traces.
  double sample_ratio = 0.01;  // Of the requests that belong to no trace yet; others say it.
  std::string service_name = "fairlead";
  friend bool operator==(const TracingSettings&, const TracingSettings&) = default;
};

struct LogSettings {
  LogLevel level = LogLevel::kInfo;  // The lowest that is written.
  friend bool operator==(const LogSettings&, const LogSettings&) = default;
};

struct ServeSettings {
  GatewaySettings gateway;
  LimitSettings limits;
  AccessSettings access;
  FleetSettings fleet;
  PrefixSettings prefix;
  TokenizingSettings tokens;
  RestartSettings restart;
  ReplicaSettings replicas;
  TracingSettings tracing;
  LogSettings log;
  friend bool operator==(const ServeSettings&, const ServeSettings&) = default;
};

// Problems go where `root` sends them. The caller finishes `root`.
ServeSettings parse_settings(Section& root);

// Every setting with its value; parse_settings() reads it back to equal settings.
std::string effective_yaml(const ServeSettings& settings);

}  // namespace fairlead::config
