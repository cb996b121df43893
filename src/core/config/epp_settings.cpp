// SPDX-License-Identifier: Apache-2.0
#include "core/config/epp_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "core/config/units.h"
#include "core/config/wording.h"

namespace fairlead::config {
namespace {

constexpr Duration kHour = std::chrono::hours(1);
constexpr Duration kShortestScrape = std::chrono::milliseconds(50);
constexpr std::size_t kKi = std::size_t{1} << 10;
constexpr std::size_t kGi = std::size_t{1} << 30;
constexpr std::size_t kMaxTargetPorts = 8;
constexpr std::string_view kPoolGroup = "inference.networking.k8s.io";
constexpr std::array<std::string_view, 3> kProcessingNames = {"auto", "full", "none"};

struct CipherSuite {
  std::string_view go;
  std::string_view openssl;
};

// What Go still offers for TLS 1.2, without its insecure suites.
constexpr auto kCipherSuites = std::to_array<CipherSuite>({
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
});

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; !text.empty() && at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::optional<std::int64_t> parse_count(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Values of the flags that were given, by name.
class FlagReader {
 public:
  FlagReader(const GivenFlags& flags, Problems& problems) : flags_(flags), problems_(problems) {}

  const std::string* given(std::string_view name) const { return flags_.last(name); }
  void error(std::string_view name, std::string message) const {
    report_flag(problems_, name, std::move(message));
  }
  void warning(std::string_view name, std::string message) const {
    report_flag(problems_, name, std::move(message), Severity::kWarning);
  }

  void text(std::string_view name, std::string& value) const {
    if (const std::string* text = given(name)) value = *text;
  }
  void boolean(std::string_view name, bool& value) const {
    const std::string* text = given(name);
    if (text == nullptr) return;
    const auto read = parse_go_bool(*text);
    if (read) {
      value = *read;
    } else {
      error(name, fmt::format("expected true or false, found {}", in_quotes(*text)));
    }
  }
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t min,
                                      std::int64_t max) const {
    const std::string* text = given(name);
    if (text == nullptr) return std::nullopt;
    const auto read = parse_count(*text);
    if (read && *read >= min && *read <= max) return read;
    error(name, fmt::format("expected a whole number from {} to {}, found {}", min, max,
                            in_quotes(*text)));
    return std::nullopt;
  }
  void duration(std::string_view name, Duration& value, Duration max) const {
    const std::string* text = given(name);
    if (text == nullptr) return;
    const auto read = parse_duration(*text);
    if (read && *read >= Duration{} && *read <= max) {
      value = *read;
    } else {
      error(name, fmt::format("expected a duration up to {}, such as 50ms or 1m30s, found {}",
                              duration_text(max), in_quotes(*text)));
    }
  }
  // A quantity as Kubernetes writes it, after which a B may stand.
  void bytes(std::string_view name, std::size_t& value, std::size_t min, std::size_t max) const {
    const std::string* text = given(name);
    if (text == nullptr || text->empty()) return;
    std::string_view digits = *text;
    if (digits.ends_with('B') || digits.ends_with('b')) digits.remove_suffix(1);
    const auto read = parse_bytes(digits);
    if (read && *read >= static_cast<std::int64_t>(min) &&
        *read <= static_cast<std::int64_t>(max)) {
      value = static_cast<std::size_t>(*read);
    } else {
      error(name, fmt::format("expected a size from {} to {}, such as 10MiB, found {}",
                              bytes_text(static_cast<std::int64_t>(min)),
                              bytes_text(static_cast<std::int64_t>(max)), in_quotes(*text)));
    }
  }
  // Of every address of a listener.
  void port(std::string_view name, std::vector<HostPort>& addresses) const {
    const auto port = integer(name, 1, 65535);
    if (!port) return;
    for (HostPort& address : addresses) address.port = static_cast<std::uint16_t>(*port);
  }

 private:
  const GivenFlags& flags_;
  Problems& problems_;
};

void read_addresses(Section& section, std::string_view key, std::vector<HostPort>& value) {
  if (!section.has(key)) return section.skip(key);
  std::vector<HostPort> read;
  for (const std::string& text : section.required_texts(key)) {
    if (const auto address = parse_host_port(text)) {
      read.push_back(*address);
    } else {
      section.error(key, address.error().message);
    }
  }
  if (!read.empty()) value = std::move(read);
}

void read_bytes(Section& section, std::string_view key, std::size_t& value, std::size_t max) {
  value = static_cast<std::size_t>(section.bytes(key, static_cast<std::int64_t>(value),
                                                 static_cast<std::int64_t>(kKi),
                                                 static_cast<std::int64_t>(max)));
}

void read_section(Section& root, EppSettings& settings) {
  Section epp = root.child("epp");
  read_addresses(epp, "listen", settings.listen);
  read_addresses(epp, "healthListen", settings.health_listen);
  read_addresses(epp, "metricsListen", settings.metrics_listen);
  const std::vector<std::string_view> words(kProcessingNames.begin(), kProcessingNames.end());
  const std::string processing = epp.choice("responseProcessing", words[0], words);
  settings.response_processing = static_cast<ResponseProcessing>(
      std::ranges::find(kProcessingNames, processing) - kProcessingNames.begin());
  settings.workers = static_cast<std::uint32_t>(epp.integer("workers", settings.workers, 1, 256));
  settings.streams_max =
      static_cast<std::uint32_t>(epp.integer("streamsMax", settings.streams_max, 1, 1'000'000));
  read_bytes(epp, "requestBytesMax", settings.request_bytes_max, 4 * kGi);
  read_bytes(epp, "bufferedBytesMax", settings.buffered_bytes_max, 1024 * kGi);
  if (settings.buffered_bytes_max < settings.request_bytes_max) {
    epp.error("bufferedBytesMax", "is less than requestBytesMax");
  }
  if (const std::string admin = epp.text("adminListen", to_string(settings.admin_listen));
      const auto address = parse_host_port(admin)) {
    settings.admin_listen = *address;
  } else {
    epp.error("adminListen", address.error().message);
  }
  for (const auto& [name, text] : epp.text_map("objectives")) {
    const auto priority = parse_count(text);
    if (priority && *priority >= INT32_MIN && *priority <= INT32_MAX) {
      settings.objectives.push_back({name, static_cast<std::int32_t>(*priority)});
    } else {
      epp.error("objectives", fmt::format("the priority of {} is a whole number, found {}",
                                          in_quotes(name), in_quotes(text)));
    }
  }
  settings.access_log = epp.text("accessLog", "");
  settings.tls.client_ca = epp.text("clientCaFile", "");
  settings.drain_timeout = epp.duration("drainTimeout", settings.drain_timeout, Duration{}, kHour);
  epp.finish();
  for (const std::string_view key : {"gateway", "limits", "access"}) {
    if (root.has(key)) root.warning(key, "has no effect: it is for `fairlead serve`");
    root.skip(key);
  }
}

// The Deployment's name out of a pod's: without the hashes of replica set and pod.
std::string deployment_of(std::string_view pod) {
  for (int part = 0; part < 2; ++part) {
    const std::size_t dash = pod.rfind('-');
    if (dash == std::string_view::npos || dash == 0 || dash + 1 == pod.size()) return {};
    const std::string_view hash = pod.substr(dash + 1);
    if (hash.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") != hash.npos) return {};
    pod = pod.substr(0, dash);
  }
  return std::string(pod);
}

// Whether one port at least was given. Engines say their own ports, so nobody asks for these.
bool check_target_ports(const FlagReader& flags) {
  constexpr std::string_view kName = "endpoint-target-ports";
  const std::string* text = flags.given(kName);
  if (text == nullptr) return false;
  bool has_port = false;
  const auto parts = split(*text, ',');
  for (const std::string_view part : parts) {
    const auto port = parse_count(part);
    if (!port || *port < 0 || *port > 65535) {
      flags.error(kName, fmt::format("{} is no port from 0 to 65535", in_quotes(part)));
    } else {
      has_port = true;
    }
  }
  if (parts.size() > kMaxTargetPorts) {
    flags.error(kName, fmt::format("has more than {} ports", kMaxTargetPorts));
  }
  return has_port;
}

void read_pool(const FlagReader& flags, const EppEnvironment& environment, EppPool& pool) {
  flags.text("pool-name", pool.name);
  flags.text("endpoint-selector", pool.selector);
  if (const auto* group = flags.given("pool-group"); group != nullptr && *group != kPoolGroup) {
    flags.error("pool-group", fmt::format("only {} is supported", kPoolGroup));
  }
  const bool has_target_ports = check_target_ports(flags);
  if (pool.name.empty() == pool.selector.empty()) {
    return flags.error("pool-name", pool.name.empty()
                                        ? "give it, or --endpoint-selector"
                                        : "excludes --endpoint-selector; give only one of them");
  }
  if (pool.selector.empty()) return;
  if (!has_target_ports) {
    flags.error("endpoint-selector", "needs --endpoint-target-ports beside it");
  }
  pool.name = deployment_of(environment.pod_name);
  if (!pool.name.empty()) return;
  flags.error("endpoint-selector",
              fmt::format("needs the name of this pod in POD_NAME, as in NAME-5d4f6b7c8-x2x4z, to "
                          "name the pool; it is {}",
                          in_quotes(environment.pod_name)));
}

void read_tls(const FlagReader& flags, EppTls& tls) {
  flags.boolean("secure-serving", tls.is_on);
  flags.text("cert-path", tls.folder);
  bool reloads = false;
  flags.boolean("enable-cert-reload", reloads);
  if (const std::string* version = flags.given("tls-min-version"); version && !version->empty()) {
    if (*version == "VersionTLS13") {
      tls.min_minor = 3;
    } else if (*version == "VersionTLS10" || *version == "VersionTLS11") {
      flags.warning("tls-min-version", "is raised to VersionTLS12");
    } else if (*version != "VersionTLS12") {
      flags.error("tls-min-version", fmt::format("expected VersionTLS12 or VersionTLS13, found {}",
                                                 in_quotes(*version)));
    }
  }
  std::string suites;
  flags.text("tls-cipher-suites", suites);
  for (const std::string_view name : split(suites, ',')) {
    const auto* const suite = std::ranges::find(kCipherSuites, name, &CipherSuite::go);
    if (suite == kCipherSuites.end()) {
      flags.error("tls-cipher-suites",
                  fmt::format("{} is no cipher suite that is offered here", in_quotes(name)));
    } else {
      tls.cipher_list += fmt::format("{}{}", tls.cipher_list.empty() ? "" : ":", suite->openssl);
    }
  }
  if (reloads && tls.folder.empty()) {
    flags.warning("enable-cert-reload", "has no effect without --cert-path");
  }
}

// zap-log-level wins: a name, or a verbosity.
void read_log_level(const FlagReader& flags, EppSettings& settings) {
  constexpr std::int64_t kDebug = 4;
  constexpr std::int64_t kMost = 127;
  const auto of_verbosity = [](std::int64_t verbosity) {
    return verbosity >= kDebug ? LogLevel::kDebug : LogLevel::kInfo;
  };
  if (const auto verbosity = flags.integer("v", 0, kMost)) {
    settings.log_level = of_verbosity(*verbosity);
  }
  const std::string* level = flags.given("zap-log-level");
  if (level == nullptr) return;
  if (*level == "debug") {
    settings.log_level = LogLevel::kDebug;
  } else if (*level == "info") {
    settings.log_level = LogLevel::kInfo;
  } else if (*level == "error" || *level == "panic") {
    settings.log_level = LogLevel::kError;
  } else if (const auto verbosity = parse_count(*level); verbosity && *verbosity > 0) {
    settings.log_level = of_verbosity(*verbosity);
  } else {
    flags.error("zap-log-level", fmt::format("expected debug, info, error, panic or a verbosity "
                                             "above 0, found {}",
                                             in_quotes(*level)));
  }
}

// A flag without effect that asks for what is done anyway needs no remark.
void remark(const FlagReader& flags) {
  for (const EppFlag& flag : epp_flags()) {
    const std::string* value = flags.given(flag.name);
    if (value == nullptr || flag.use == FlagUse::kHonoured) continue;
    if (flag.use == FlagUse::kRefused) {
      flags.error(flag.name, std::string(flag.text));
      continue;
    }
    bool is_on = true;
    if (flag.shape == FlagShape::kSwitch) flags.boolean(flag.name, is_on);
    const bool is_silent =
        !is_on || value->empty() || (flag.name == "zap-encoder" && *value == "json");
    if (!is_silent) flags.warning(flag.name, std::string(flag.text));
  }
  if (flags.given("metrics-client-ca-file") != nullptr &&
      flags.given("metrics-cert-dir") == nullptr) {
    flags.error("metrics-client-ca-file", "needs --metrics-cert-dir");
  }
}

// Two addresses of this process that are one port.
void check_ports(const EppSettings& settings, Problems& problems) {
  std::vector<HostPort> seen;
  const std::vector<HostPort> admin{settings.admin_listen};
  for (const auto* list :
       {&settings.listen, &settings.health_listen, &settings.metrics_listen, &admin}) {
    for (const HostPort& address : *list) {
      if (address.port != 0 && std::ranges::find(seen, address) != seen.end()) {
        problems.add({"", 0, "", fmt::format("two listeners want {}", to_string(address))});
      }
      seen.push_back(address);
    }
  }
}

std::string list_text(const std::vector<HostPort>& addresses) {
  std::string list;
  for (const HostPort& address : addresses) {
    list += (list.empty() ? "" : ", ") + yaml_quoted(to_string(address));
  }
  return "[" + list + "]";
}

}  // namespace

std::int32_t EppSettings::priority_of(std::string_view objective) const {
  const auto found = std::ranges::find(objectives, objective, &Objective::name);
  return found == objectives.end() ? 0 : found->priority;
}

std::string_view to_string(ResponseProcessing processing) {
  return kProcessingNames[static_cast<std::size_t>(processing)];
}

ConfigSource config_source(const GivenFlags& flags, Problems& problems) {
  ConfigSource source;
  const FlagReader reader(flags, problems);
  reader.text("config-file", source.file);
  reader.text("config-text", source.text);
  if (!source.file.empty() && !source.text.empty()) {
    reader.error("config-file", "excludes --config-text; give only one of them");
  }
  return source;
}

EppSettings read_epp_settings(Section& root, const GivenFlags& given,
                              const EppEnvironment& environment, Problems& problems) {
  EppSettings settings;
  read_section(root, settings);
  const FlagReader flags(given, problems);
  flags.port("grpc-port", settings.listen);
  flags.port("grpc-health-port", settings.health_listen);
  flags.port("metrics-port", settings.metrics_listen);
  read_pool(flags, environment, settings.pool);
  read_tls(flags, settings.tls);
  read_log_level(flags, settings);
  flags.duration("drain-timeout", settings.drain_timeout, kHour);
  flags.bytes("grpc-max-recv-msg-size", settings.message_bytes_max, kKi, kGi);
  flags.boolean("disable-endpoint-subset-filter", settings.ignores_subset);
  flags.boolean("emit-endpoint-scores", settings.tells_scores);
  flags.boolean("tracing", settings.traces);
  flags.boolean("health-checking", settings.health_on_listen);
  flags.boolean("allow-experimental-plugins", settings.allows_experimental);
  flags.duration("metrics-staleness-threshold", settings.metrics_staleness, kHour);
  flags.duration("refresh-metrics-interval", settings.metrics_interval, kHour);
  if (settings.metrics_interval < kShortestScrape) {
    settings.metrics_interval = kShortestScrape;
    flags.warning("refresh-metrics-interval", "is raised to 50ms");
  }
  if (!settings.tls.client_ca.empty() && !settings.tls.is_on) {
    flags.error("secure-serving", "epp.clientCaFile asks for certificates, which needs TLS");
  }
  remark(flags);
  check_ports(settings, problems);
  return settings;
}

std::string effective_yaml(const EppSettings& settings) {
  const auto bytes = [](std::size_t size) { return bytes_text(static_cast<std::int64_t>(size)); };
  std::string objectives;
  for (const Objective& one : settings.objectives) {
    objectives += fmt::format("{}{}: {}", objectives.empty() ? "" : ", ", yaml_quoted(one.name),
                              one.priority);
  }
  return fmt::format(
      "epp:\n  listen: {}\n  healthListen: {}\n  metricsListen: {}\n  adminListen: {}\n"
      "  objectives: {{{}}}\n  responseProcessing: {}\n"
      "  accessLog: {}\n  clientCaFile: {}\n"
      "  workers: {}\n  streamsMax: {}\n  requestBytesMax: {}\n  bufferedBytesMax: {}\n"
      "  drainTimeout: {}\n",
      list_text(settings.listen), list_text(settings.health_listen),
      list_text(settings.metrics_listen), yaml_quoted(to_string(settings.admin_listen)), objectives,
      to_string(settings.response_processing), yaml_quoted(settings.access_log),
      yaml_quoted(settings.tls.client_ca), settings.workers, settings.streams_max,
      bytes(settings.request_bytes_max), bytes(settings.buffered_bytes_max),
      duration_text(settings.drain_timeout));
}

void check_endpoints(EndpointsFrom from, const EppSettings& settings, Problems& problems) {
  if (from != EndpointsFrom::kNowhere) return;
  report_flag(problems, settings.pool.selector.empty() ? "pool-name" : "endpoint-selector",
              "not supported yet: finding a pool's pods through Kubernetes. Name a file of "
              "endpoints, by dataLayer.discovery with file-discovery or fleet.endpointsFile, or "
              "list them under fleet.endpoints");
}

}  // namespace fairlead::config
