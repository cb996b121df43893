// SPDX-License-Identifier: Apache-2.0
// The table of flags of `fairlead epp`.
#include <fmt/format.h>

#include <array>

#include "core/config/epp_settings.h"

namespace fairlead::config {
namespace {

using enum FlagUse;
constexpr FlagShape kValue = FlagShape::kValue;
constexpr FlagShape kSwitch = FlagShape::kSwitch;

constexpr std::string_view kNoKubernetes = "no effect: there is no Kubernetes client yet";
constexpr std::string_view kJsonLog = "no effect: the log has one form, JSON lines";
constexpr std::string_view kMetricName =
    "refused, as by llm-d: names of metrics belong to engineConfigs of core-metrics-extractor";

constexpr auto kFlags = std::to_array<EppFlag>({
    {"grpc-port", kValue, "9002", kHonoured, "port of ext_proc"},
    {"grpc-health-port", kValue, "9003", kHonoured, "port of grpc.health.v1"},
    {"metrics-port", kValue, "9090", kHonoured, "port of /metrics"},
    {"ha-enable-leader-election", kSwitch, "false", kNoEffect,
     "no effect: every replica serves; in-flight counts are of each alone"},
    {"drain-timeout", kValue, "30s", kHonoured, "after SIGTERM requests are served so long"},
    {"grpc-max-recv-msg-size", kValue, "4MiB", kHonoured, "largest gRPC message taken"},
    {"grpc-max-send-msg-size", kValue, "", kNoEffect,
     "no effect: bodies are sent in pieces of at most 62,000 bytes"},
    {"pool-group", kValue, "inference.networking.k8s.io", kHonoured,
     "only the v1 group; nothing else follows from it"},
    {"pool-namespace", kValue, "", kHonoured,
     "accepted; nothing follows from it without Kubernetes"},
    {"pool-name", kValue, "", kHonoured, "names the pool in metrics; this or --endpoint-selector"},
    {"endpoint-selector", kValue, "", kHonoured,
     "instead of --pool-name; the pool is named after $POD_NAME"},
    {"endpoint-target-ports", kValue, "", kHonoured,
     "with --endpoint-selector, 1 to 8 ports; nothing else follows from them"},
    {"disable-endpoint-subset-filter", kSwitch, "false", kHonoured, "ignore the subset hint"},
    {"emit-endpoint-scores", kSwitch, "false", kHonoured,
     "tell the proxy every rated endpoint's score, as dynamic metadata"},
    {"refresh-metrics-interval", kValue, "50ms", kHonoured,
     "between two scrapes of an engine, 50ms at least"},
    {"refresh-prometheus-metrics-interval", kValue, "5s", kNoEffect,
     "no effect: pool averages are made when they are asked for"},
    {"metrics-staleness-threshold", kValue, "2s", kHonoured, "older figures count as stale"},
    {"total-queued-requests-metric", kValue, "", kRefused, kMetricName},
    {"total-running-requests-metric", kValue, "", kRefused, kMetricName},
    {"kv-cache-usage-percentage-metric", kValue, "", kRefused, kMetricName},
    {"lora-info-metric", kValue, "", kRefused, kMetricName},
    {"cache-info-metric", kValue, "", kRefused, kMetricName},
    {"tracing", kSwitch, "true", kHonoured,
     "traces go to tracing.endpoint of the configuration; without one there are none"},
    {"health-checking", kSwitch, "false", kHonoured, "grpc.health.v1 on --grpc-port too"},
    {"enable-pprof", kSwitch, "true", kNoEffect, "no effect: there is no Go runtime to profile"},
    {"cert-path", kValue, "", kHonoured, "folder of tls.crt and tls.key"},
    {"enable-cert-reload", kSwitch, "false", kHonoured,
     "done in any case: the files of --cert-path are watched"},
    {"secure-serving", kSwitch, "true", kHonoured, "TLS; self-signed when there is no --cert-path"},
    {"tls-min-version", kValue, "VersionTLS12", kHonoured, "VersionTLS12 or VersionTLS13"},
    {"tls-cipher-suites", kValue, "", kHonoured, "of TLS 1.2, by their Go names"},
    {"metrics-endpoint-auth", kSwitch, "true", kNoEffect, kNoKubernetes},
    {"metrics-client-ca-file", kValue, "", kNoEffect,
     "no effect: metrics are served without TLS, as llm-d does with file-discovery"},
    {"metrics-cert-dir", kValue, "", kNoEffect,
     "no effect: metrics are served without TLS, as llm-d does with file-discovery"},
    {"enable-grpc-stream-metrics", kSwitch, "false", kHonoured, "there in any case"},
    {"config-file", kValue, "", kHonoured, "the EndpointPickerConfig; this or --config-text"},
    {"config-text", kValue, "", kHonoured, "the same as text"},
    {"allow-experimental-plugins", kSwitch, "false", kHonoured, "plugin types marked Alpha"},
    {"v", kValue, "2", kHonoured, "log level: below 4 info, from 4 debug"},
    {"zap-log-level", kValue, "", kHonoured, "debug, info, error or a verbosity; wins over -v"},
    {"zap-encoder", kValue, "", kNoEffect, kJsonLog},
    {"zap-devel", kSwitch, "", kNoEffect, kJsonLog},
    {"zap-stacktrace-level", kValue, "", kNoEffect, kJsonLog},
    {"zap-time-encoding", kValue, "", kNoEffect, kJsonLog},
});

}  // namespace

std::span<const EppFlag> epp_flags() { return kFlags; }

std::vector<FlagName> epp_flag_names() {
  std::vector<FlagName> names;
  for (const EppFlag& flag : kFlags) names.push_back({flag.name, flag.shape});
  return names;
}

std::string epp_flags_text() {
  std::string out;
  for (const EppFlag& flag : kFlags) {
    const std::string value =
        flag.fallback.empty() ? std::string() : fmt::format(" (default {})", flag.fallback);
    out += fmt::format("  --{:<36} {}{}\n", flag.name, flag.text, value);
  }
  return out;
}

}  // namespace fairlead::config
