// SPDX-License-Identifier: Apache-2.0
#include "core/config/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/config/units.h"
#include "core/config/wording.h"

namespace fairlead::config {
namespace {

constexpr Duration kMillisecond = std::chrono::milliseconds(1);
constexpr Duration kHour = std::chrono::hours(1);
constexpr Duration kDay = std::chrono::hours(24);

constexpr std::size_t kKi = std::size_t{1} << 10;
constexpr std::size_t kMi = std::size_t{1} << 20;
constexpr std::size_t kGi = std::size_t{1} << 30;

// One list of keys and ranges serves reading and printing: describe() shows every field to a
// Reader or a Printer.
template <class Visitor>
void describe(Visitor& visit, CorsSettings& cors) {
  visit.texts("allowOrigins", cors.allow_origins);
}

template <class Visitor>
void describe(Visitor& visit, ClientTlsSettings& tls) {
  visit.text("certFile", tls.cert_file);
  visit.text("keyFile", tls.key_file);
  visit.certificates("certificates", tls.certificates);
}

template <class Visitor>
void describe(Visitor& visit, Http2Settings& http2) {
  visit.integer("maxConcurrentStreams", http2.max_concurrent_streams, 0, 10'000);
}

template <class Visitor>
void describe(Visitor& visit, GatewaySettings& gateway) {
  visit.addresses("listen", gateway.listen);
  visit.integer("workers", gateway.workers, 1, 256);
  visit.address("adminListen", gateway.admin_listen);
  visit.duration("streamBatching", gateway.stream_batching, Duration{0},
                 std::chrono::milliseconds(5));
  visit.duration("drainDelay", gateway.drain_delay, Duration{0}, kHour);
  visit.duration("drainTimeout", gateway.drain_timeout, Duration{0}, kHour);
  visit.text("accessLog", gateway.access_log);
  visit.text("requestIdHeader", gateway.request_id_header);
  visit.section("cors", gateway.cors);
  visit.section("tls", gateway.tls);
  visit.section("http2", gateway.http2);
}

template <class Visitor>
void describe(Visitor& visit, RetrySettings& retry) {
  visit.integer("maxAttempts", retry.max_attempts, 1, 8);
  visit.number("budgetRatio", retry.budget_ratio, 0, 1);
  visit.number("minPerSecond", retry.min_per_second, 0, 1e6);
  visit.bytes("bufferBytes", retry.buffer_bytes, 0, kGi);
}

template <class Visitor>
void describe(Visitor& visit, WaitingSettings& waiting) {
  visit.integer("requestsMax", waiting.requests_max, 0, 1'000'000);
  visit.duration("patience", waiting.patience, Duration{0}, kHour);
}

template <class Visitor>
void describe(Visitor& visit, OverloadSettings& overload) {
  visit.bytes_or_auto("memoryBytes", overload.memory_bytes, kMi, 1024 * kGi);
  visit.duration("loopLag", overload.loop_lag, 10 * kMillisecond, kHour);
  visit.number("stopKeepalive", overload.stop_keepalive, 0.1, 1);
  visit.number("tightenBuffers", overload.tighten_buffers, 0.1, 1);
  visit.number("dropIdle", overload.drop_idle, 0.1, 1);
  visit.number("shedRequests", overload.shed_requests, 0.1, 1);
  visit.number("refuseConnections", overload.refuse_connections, 0.1, 1);
  visit.number("hysteresis", overload.hysteresis, 0, 0.5);
}

template <class Visitor>
void describe(Visitor& visit, LimitSettings& limits) {
  visit.bytes("bodyBytes", limits.body_bytes, kKi, 4 * kGi);
  visit.bytes("headerBytes", limits.header_bytes, kKi, kMi);
  visit.integer("headerCount", limits.header_count, 1, 10'000);
  visit.integer("connections", limits.connections, 1, 1'000'000);
  visit.bytes("bufferedBytes", limits.buffered_bytes, kKi, 1024 * kGi);
  visit.duration("clientIdle", limits.client_idle, kMillisecond, kDay);
  visit.duration("headerRead", limits.header_read, kMillisecond, kHour);
  visit.duration("bodyRead", limits.body_read, kMillisecond, kHour);
  visit.duration("clientWrite", limits.client_write, kMillisecond, kHour);
  visit.duration("upstreamConnect", limits.upstream_connect, kMillisecond, kHour);
  visit.duration("upstreamFirstByte", limits.upstream_first_byte, kMillisecond, kDay);
  visit.duration("upstreamIdle", limits.upstream_idle, kMillisecond, kDay);
  visit.duration("requestTotal", limits.request_total, kMillisecond, kDay);
  visit.integer("tunnels", limits.tunnels, 0, 1'000'000);
  visit.duration("tunnelIdle", limits.tunnel_idle, kMillisecond, kDay);
  visit.section("retry", limits.retry);
  visit.section("waiting", limits.waiting);
  visit.section("overload", limits.overload);
}

template <class Visitor>
void describe(Visitor& visit, AccessSettings& access) {
  visit.text("keysFile", access.keys_file);
}

template <class Visitor>
void describe(Visitor& visit, HealthSettings& health) {
  visit.duration("interval", health.interval, 10 * kMillisecond, kHour);
  visit.text("path", health.path);
  visit.duration("timeout", health.timeout, kMillisecond, kHour);
  visit.integer("unhealthyAfter", health.unhealthy_after, 1, 1000);
  visit.duration("eject", health.eject, kMillisecond, kHour);
  visit.duration("ejectMax", health.eject_max, kMillisecond, kDay);
  visit.duration("returnRamp", health.return_ramp, Duration{0}, kHour);
}

template <class Visitor>
void describe(Visitor& visit, EngineTlsSettings& tls) {
  visit.text("caFile", tls.ca_file);
  visit.text("serverName", tls.server_name);
  visit.boolean("insecureSkipVerify", tls.insecure_skip_verify);
}

template <class Visitor>
void describe(Visitor& visit, FleetSettings& fleet) {
  visit.endpoints("endpoints", fleet.endpoints);
  visit.text("endpointsFile", fleet.endpoints_file);
  visit.text("engineKeyFile", fleet.engine_key_file);
  visit.duration("scrapeInterval", fleet.scrape_interval, 5 * kMillisecond, kHour);
  visit.duration("modelsInterval", fleet.models_interval, 100 * kMillisecond, kDay);
  visit.section("health", fleet.health);
  visit.section("tls", fleet.tls);
}

template <class Visitor>
void describe(Visitor& visit, PrefixSettings& prefix) {
  visit.bytes("blockBytes", prefix.block_bytes, 64, kMi);
  visit.bytes_or_auto("bytesPerEndpoint", prefix.bytes_per_endpoint, 0, 64 * kGi);
  visit.bytes("bytesUnreported", prefix.bytes_unreported, 0, 64 * kGi);
}

template <class Visitor>
void describe(Visitor& visit, TokenizingSettings& tokens) {
  visit.tokenizers("models", tokens.models);
  visit.integer("threads", tokens.threads, 1, 64);
  visit.duration("deadline", tokens.deadline, kMillisecond, kHour);
  visit.integer("queue", tokens.queue_max, 1, 1'000'000);
  visit.bytes("queueBytes", tokens.queue_bytes_max, kMi, 64 * kGi);
  visit.bytes("cacheBytes", tokens.cache_bytes_max, 0, 64 * kGi);
}

template <class Visitor>
void describe(Visitor& visit, RestartSettings& restart) {
  visit.text("directory", restart.directory);
  visit.duration("interval", restart.interval, 100 * kMillisecond, kDay);
  visit.bytes("bytesMax", restart.bytes_max, kMi, 64 * kGi);
}

template <class Visitor>
void describe(Visitor& visit, ReplicaSettings& replicas) {
  visit.address("listen", replicas.listen);
  visit.texts("addresses", replicas.addresses);
  visit.text("secretFile", replicas.secret_file);
}

template <class Visitor>
void describe(Visitor& visit, TracingSettings& tracing) {
  visit.text("endpoint", tracing.endpoint);
  visit.number("sampleRatio", tracing.sample_ratio, 0, 1);
  visit.text("serviceName", tracing.service_name);
}

template <class Visitor>
void describe(Visitor& visit, LogSettings& log) {
  visit.log_level("level", log.level);
}

template <class Visitor>
void describe(Visitor& visit, ServeSettings& settings) {
  visit.section("gateway", settings.gateway);
  visit.section("limits", settings.limits);
  visit.section("access", settings.access);
  visit.section("fleet", settings.fleet);
  visit.section("prefix", settings.prefix);
  visit.section("tokens", settings.tokens);
  visit.section("restart", settings.restart);
  visit.section("replicas", settings.replicas);
  visit.section("tracing", settings.tracing);
  visit.section("log", settings.log);
}

// Whether two listeners would take the same port. An IPv6 listener takes none of IPv4.
bool collide(const HostPort& a, const HostPort& b) {
  if (a.port == 0 || a.port != b.port) return false;
  const auto host_of = [](const HostPort& address) {
    return address.host == "localhost" ? std::string_view("127.0.0.1") : address.host;
  };
  const auto is_v6 = [](std::string_view host) { return host.find(':') != host.npos; };
  const std::string_view left = host_of(a);
  const std::string_view right = host_of(b);
  if (is_v6(left) != is_v6(right)) return false;
  const std::string_view every = is_v6(left) ? "::" : "0.0.0.0";
  return left == right || left == every || right == every;
}

// Origins are compared byte by byte, so they are written as browsers write them.
bool is_origin(std::string_view text) {
  const std::size_t mark = text.find("://");
  if (mark == 0 || mark == std::string_view::npos) return false;
  const std::string_view host = text.substr(mark + 3);
  constexpr std::string_view kBytes = "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]";
  return !host.empty() && host.find_first_not_of(kBytes) == std::string_view::npos &&
         text.substr(0, mark).find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+-.") ==
             std::string_view::npos;
}

void check(const Section& section, const CorsSettings& cors) {
  for (const std::string& origin : cors.allow_origins) {
    if (origin == "*" || is_origin(origin)) continue;
    section.error("allowOrigins",
                  fmt::format("{} is no origin; write scheme://host or scheme://host:port in lower "
                              "case without a path, or \"*\"",
                              in_quotes(origin)));
  }
}

void check(const Section& section, const GatewaySettings& gateway) {
  for (auto one = gateway.listen.begin(); one != gateway.listen.end(); ++one) {
    const auto twin = std::find_if(gateway.listen.begin(), one,
                                   [&](auto& other) { return collide(other, *one); });
    if (twin != one) {
      section.error("listen",
                    fmt::format("{} and {} are the same port", to_string(*twin), to_string(*one)));
    }
    if (collide(*one, gateway.admin_listen)) {
      section.error(section.has("adminListen") ? "adminListen" : "listen",
                    fmt::format("adminListen, {}, and listen, {}, are the same port",
                                to_string(gateway.admin_listen), to_string(*one)));
    }
  }
  constexpr std::string_view kNameBytes = "abcdefghijklmnopqrstuvwxyz0123456789-_";
  const std::string& header = gateway.request_id_header;
  if (header.empty() || header.find_first_not_of(kNameBytes) != std::string::npos) {
    section.error("requestIdHeader", "must be a header name in lower case");
  }
}

// A wait that was asked for and can never run out is a mistake; a default that cannot is none.
void check(const Section& section, const LimitSettings& limits) {
  const std::pair<std::string_view, Duration> waits[] = {
      {"bodyRead", limits.body_read},
      {"headerRead", limits.header_read},
      {"tunnelIdle", limits.tunnel_idle},
      {"upstreamConnect", limits.upstream_connect},
      {"upstreamFirstByte", limits.upstream_first_byte},
      {"upstreamIdle", limits.upstream_idle}};
  for (const auto& [key, wait] : waits) {
    if (!section.has(key) || wait <= limits.request_total) continue;
    section.warning(key, fmt::format("has no effect: requestTotal, {}, is shorter",
                                     duration_text(limits.request_total)));
  }
  if (section.has("bufferedBytes") && limits.buffered_bytes < 2 * limits.body_bytes) {
    section.warning("bufferedBytes",
                    fmt::format("is less than two bodies of bodyBytes, {}; two are allowed",
                                bytes_text(static_cast<std::int64_t>(limits.body_bytes))));
  }
}

// An action that ends at no pressure at all would never end.
void check(const Section& section, const OverloadSettings& overload) {
  const double lowest =
      std::min({overload.stop_keepalive, overload.tighten_buffers, overload.drop_idle,
                overload.shed_requests, overload.refuse_connections});
  if (overload.hysteresis < lowest) return;
  section.error("hysteresis",
                fmt::format("must be less than every threshold; the lowest is {}", lowest));
}

void check(const Section& section, const HealthSettings& health) {
  if (!health.path.starts_with('/')) section.error("path", "must begin with /");
  if (health.path.find_first_of(" \t\r\n") != std::string::npos) {
    section.error("path", "must not contain white space");
  }
  if (health.eject > health.eject_max) section.error("eject", "is longer than ejectMax");
}

void check(const Section& section, const ClientTlsSettings& tls) {
  if (!tls.certificates.empty() && tls.cert_file.empty() && tls.key_file.empty()) {
    section.error("certificates", "needs certFile and keyFile, for every other name");
  }
  if (tls.cert_file.empty() == tls.key_file.empty()) return;
  section.error(tls.cert_file.empty() ? "certFile" : "keyFile",
                "is missing; TLS needs both certFile and keyFile");
}

void check(const Section& section, const EngineTlsSettings& tls) {
  if (tls.insecure_skip_verify && !tls.ca_file.empty()) {
    section.error("insecureSkipVerify", "makes caFile useless; give only one of them");
  }
}

void check(const Section& section, const TracingSettings& tracing) {
  if (tracing.service_name.empty()) section.error("serviceName", "must not be empty");
  if (tracing.endpoint.empty()) return;
  if (const auto read = parse_endpoint_address(tracing.endpoint); !read) {
    section.error("endpoint", read.error().message);
  }
}

void check(const Section& section, const ReplicaSettings& replicas) {
  if (replicas.addresses.size() > kReplicaAddressesMax) {
    section.error("addresses", fmt::format("are {}; at most {} are told", replicas.addresses.size(),
                                           kReplicaAddressesMax));
  }
  for (const std::string& address : replicas.addresses) {
    if (address.find("://") != std::string::npos) {
      section.error("addresses", fmt::format("{}: write host:port", in_quotes(address)));
    } else if (const auto read = parse_endpoint_address(address); !read) {
      section.error("addresses", read.error().message);
    }
  }
  if (replicas.addresses.empty() != replicas.secret_file.empty()) {
    section.error(replicas.addresses.empty() ? "addresses" : "secretFile",
                  "is missing; routers that tell each other need both addresses and secretFile");
  }
}

template <class Settings>
void check(const Section&, const Settings&) {}

class Reader {
 public:
  explicit Reader(Section& section) : section_(section) {}

  void text(std::string_view key, std::string& value) { value = section_.text(key, value); }
  void texts(std::string_view key, std::vector<std::string>& value) { value = section_.texts(key); }
  void boolean(std::string_view key, bool& value) { value = section_.boolean(key).value_or(value); }
  void number(std::string_view key, double& value, double min, double max) {
    value = section_.number(key, value, min, max);
  }
  void integer(std::string_view key, std::uint32_t& value, std::int64_t min, std::int64_t max) {
    value = static_cast<std::uint32_t>(section_.integer(key, value, min, max));
  }
  void duration(std::string_view key, Duration& value, Duration min, Duration max) {
    value = section_.duration(key, value, min, max);
  }
  void bytes(std::string_view key, std::size_t& value, std::size_t min, std::size_t max) {
    const auto count = [](std::size_t size) { return static_cast<std::int64_t>(size); };
    value = static_cast<std::size_t>(section_.bytes(key, count(value), count(min), count(max)));
  }
  void bytes_or_auto(std::string_view key, std::optional<std::size_t>& value, std::size_t min,
                     std::size_t max) {
    if (section_.text(key, "auto") == "auto") return value.reset();
    std::size_t size = value.value_or(0);
    bytes(key, size, min, max);
    value = size;
  }
  void address(std::string_view key, HostPort& value) {
    if (!section_.has(key)) return section_.skip(key);
    if (const auto read = listener(key, section_.text(key, ""))) value = *read;
  }
  void addresses(std::string_view key, std::vector<HostPort>& value) {
    if (!section_.has(key)) return section_.skip(key);
    std::vector<HostPort> read;
    for (const std::string& text : section_.required_texts(key)) {
      if (const auto address = listener(key, text)) read.push_back(*address);
    }
    if (!read.empty()) value = std::move(read);
  }
  void log_level(std::string_view key, LogLevel& value) {
    const std::vector<std::string_view> names(kLogLevelNames.begin(), kLogLevelNames.end());
    value = parse_log_level(section_.choice(key, to_string(value), names)).value_or(value);
  }
  void certificates(std::string_view key, std::vector<CertificateSetting>& value) {
    for (Section& entry : section_.children(key)) {
      value.push_back({entry.required_text("certFile"), entry.required_text("keyFile")});
      entry.finish();
    }
  }
  void tokenizers(std::string_view key, std::vector<TokenizerFolder>& value) {
    for (Section& entry : section_.children(key)) {
      TokenizerFolder one{entry.required_text("model"), entry.required_text("folder")};
      if (std::ranges::find(value, one.model, &TokenizerFolder::model) != value.end()) {
        entry.error("model", fmt::format("\"{}\" is given twice", one.model));
      }
      value.push_back(std::move(one));
      entry.finish();
    }
  }
  void endpoints(std::string_view key, std::vector<EndpointSetting>& value) {
    value = read_endpoints(section_, key);
  }
  template <class Settings>
  void section(std::string_view key, Settings& value) {
    Section child = section_.child(key);
    Reader reader(child);
    describe(reader, value);
    check(child, value);
    child.finish();
  }

 private:
  std::optional<HostPort> listener(std::string_view key, std::string_view text) const {
    const auto read = parse_host_port(text);
    if (read) return *read;
    section_.error(key, read.error().message);
    return std::nullopt;
  }

  Section& section_;
};

class Printer {
 public:
  std::string take() { return std::move(out_); }

  void text(std::string_view key, const std::string& value) { line(key, yaml_quoted(value)); }
  void texts(std::string_view key, const std::vector<std::string>& value) {
    std::string list;
    for (const std::string& text : value) list += (list.empty() ? "" : ", ") + yaml_quoted(text);
    line(key, "[" + list + "]");
  }
  void boolean(std::string_view key, bool value) { line(key, value ? "true" : "false"); }
  void number(std::string_view key, double value, double, double) {
    line(key, fmt::format("{}", value));
  }
  void integer(std::string_view key, std::uint32_t value, std::int64_t, std::int64_t) {
    line(key, fmt::format("{}", value));
  }
  void duration(std::string_view key, Duration value, Duration, Duration) {
    line(key, duration_text(value));
  }
  void bytes(std::string_view key, std::size_t value, std::size_t, std::size_t) {
    line(key, bytes_text(static_cast<std::int64_t>(value)));
  }
  void bytes_or_auto(std::string_view key, const std::optional<std::size_t>& value, std::size_t,
                     std::size_t) {
    line(key, value ? bytes_text(static_cast<std::int64_t>(*value)) : "auto");
  }
  void address(std::string_view key, const HostPort& value) {
    line(key, yaml_quoted(to_string(value)));
  }
  void addresses(std::string_view key, const std::vector<HostPort>& value) {
    std::string list;
    for (const HostPort& address : value) {
      list += (list.empty() ? "" : ", ") + yaml_quoted(to_string(address));
    }
    line(key, "[" + list + "]");
  }
  void log_level(std::string_view key, LogLevel value) { line(key, to_string(value)); }
  void certificates(std::string_view key, const std::vector<CertificateSetting>& value) {
    std::string list;
    for (const CertificateSetting& one : value) {
      list += fmt::format("{}{{certFile: {}, keyFile: {}}}", list.empty() ? "" : ", ",
                          yaml_quoted(one.cert_file), yaml_quoted(one.key_file));
    }
    line(key, "[" + list + "]");
  }
  void tokenizers(std::string_view key, const std::vector<TokenizerFolder>& value) {
    std::string list;
    for (const TokenizerFolder& one : value) {
      list += fmt::format("{}{{model: {}, folder: {}}}", list.empty() ? "" : ", ",
                          yaml_quoted(one.model), yaml_quoted(one.folder));
    }
    line(key, "[" + list + "]");
  }
  void endpoints(std::string_view key, const std::vector<EndpointSetting>& value) {
    if (value.empty()) return line(key, "[]");
    line(key, "");
    for (const EndpointSetting& endpoint : value) out_ += indent_ + "- " + to_yaml(endpoint) + "\n";
  }
  template <class Settings>
  void section(std::string_view key, Settings& value) {
    line(key, "");
    indent_ += "  ";
    describe(*this, value);
    indent_.resize(indent_.size() - 2);
  }

 private:
  void line(std::string_view key, std::string_view value) {
    out_ += fmt::format("{}{}:{}{}\n", indent_, key, value.empty() ? "" : " ", value);
  }

  std::string out_;
  std::string indent_;
};

}  // namespace

ServeSettings parse_settings(Section& root) {
  ServeSettings settings;
  Reader reader(root);
  describe(reader, settings);
  return settings;
}

std::string effective_yaml(const ServeSettings& settings) {
  ServeSettings shown = settings;
  Printer printer;
  describe(printer, shown);
  return printer.take();
}

}  // namespace fairlead::config
