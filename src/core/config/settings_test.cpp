// SPDX-License-Identifier: Apache-2.0
#include "core/config/settings.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "base/random.h"

namespace fairlead::config {
namespace {

using namespace std::chrono_literals;

struct Outcome {
  ServeSettings settings;
  std::string problems;
};

Outcome read(std::string_view text) {
  Problems problems;
  Section root = Section::parse(text, "f", problems);
  Outcome outcome{parse_settings(root), {}};
  root.finish();
  outcome.problems = problems.to_string();
  return outcome;
}

TEST(Settings, ABlankFileGivesTheDefaults) {
  const Outcome outcome = read("");
  EXPECT_EQ(outcome.problems, "");
  EXPECT_EQ(outcome.settings, ServeSettings{});
}

constexpr std::string_view kFull = R"(
gateway:
  listen: ["0.0.0.0:80", "[::]:81"]
  workers: 4
  adminListen: 127.0.0.1:0
  streamBatching: 1ms
  drainDelay: 3s
  drainTimeout: 1m
  accessLog: "-"
  requestIdHeader: x-trace
  cors: {allowOrigins: ["https://a.example", "http://localhost:3000", "*"]}
  tls: {certFile: /c.pem, keyFile: /k.pem, certificates: [{certFile: /d.pem, keyFile: /l.pem}]}
  http2: {maxConcurrentStreams: 9}
access: {keysFile: /etc/keys.yaml}
limits:
  bodyBytes: 1Mi
  headerBytes: 8Ki
  headerCount: 50
  connections: 10
  bufferedBytes: 4Mi
  clientIdle: 1s
  headerRead: 2s
  bodyRead: 3s
  clientWrite: 3500ms
  upstreamConnect: 4s
  upstreamFirstByte: 5s
  upstreamIdle: 6s
  requestTotal: 7s
  tunnels: 12
  tunnelIdle: 6500ms
  retry: {maxAttempts: 1, budgetRatio: 0.5, minPerSecond: 1.25, bufferBytes: 2Mi}
  waiting: {requestsMax: 5, patience: 7s}
  overload: {memoryBytes: 512Mi, loopLag: 500ms, stopKeepalive: 0.5, tightenBuffers: 0.55,
             dropIdle: 0.6, shedRequests: 0.7, refuseConnections: 0.8, hysteresis: 0.1}
fleet:
  endpoints:
    - name: a
      address: 10.0.0.1:8000
      labels: {llm-d.ai/role: decode, "odd \"key\"": "8\n"}
    - url: http://10.0.0.2:9000/
    - address: "[fd00::7]:8000"
  endpointsFile: /etc/endpoints.yaml
  engineKeyFile: /etc/engine-key
  scrapeInterval: 100ms
  modelsInterval: 1m
  health: {interval: 2s, path: /ready, timeout: 500ms, unhealthyAfter: 5, eject: 1s,
           ejectMax: 2m, returnRamp: 0s}
  tls: {caFile: /ca.pem, serverName: engines.local}
prefix: {blockBytes: 512, bytesPerEndpoint: 3Mi, bytesUnreported: 1Mi}
tokens:
  models: [{model: llama, folder: /m/llama}, {model: "qwen \"2\"", folder: /m/qwen}]
  threads: 3
  deadline: 20ms
  queue: 9
  queueBytes: 2Mi
  cacheBytes: 3Mi
restart: {directory: /var/lib/fairlead, interval: 10s, bytesMax: 8Mi}
replicas: {listen: "0.0.0.0:9", addresses: ["routers.svc:9", "[fd00::1]:9"], secretFile: /s}
tracing: {endpoint: "http://10.0.0.9:4318", sampleRatio: 0.5, serviceName: edge}
log: {level: warning}
)";

TEST(Settings, ReadsEveryKey) {
  const Outcome outcome = read(kFull);
  ASSERT_EQ(outcome.problems, "");
  const ServeSettings& s = outcome.settings;
  EXPECT_EQ(s.gateway.cors.allow_origins,
            (std::vector<std::string>{"https://a.example", "http://localhost:3000", "*"}));
  EXPECT_EQ(s.access.keys_file, "/etc/keys.yaml");
  EXPECT_EQ(s.fleet.engine_key_file, "/etc/engine-key");
  EXPECT_EQ(s.gateway.listen, (std::vector<HostPort>{{"0.0.0.0", 80}, {"::", 81}}));
  EXPECT_EQ(s.gateway.workers, 4U);
  EXPECT_EQ(s.gateway.admin_listen, (HostPort{"127.0.0.1", 0}));
  EXPECT_EQ(s.gateway.drain_timeout, 60s);
  EXPECT_EQ(s.gateway.access_log, "-");
  EXPECT_EQ(s.gateway.request_id_header, "x-trace");
  EXPECT_EQ(s.limits.body_bytes, 1U << 20);
  EXPECT_EQ(s.limits.header_bytes, 8192U);
  EXPECT_EQ(s.limits.header_count, 50U);
  EXPECT_EQ(s.limits.connections, 10U);
  EXPECT_EQ(s.limits.client_idle, 1s);
  EXPECT_EQ(s.limits.header_read, 2s);
  EXPECT_EQ(s.limits.body_read, 3s);
  EXPECT_EQ(s.limits.client_write, 3500ms);
  EXPECT_EQ(s.limits.upstream_connect, 4s);
  EXPECT_EQ(s.limits.upstream_first_byte, 5s);
  EXPECT_EQ(s.limits.upstream_idle, 6s);
  EXPECT_EQ(s.limits.request_total, 7s);
  EXPECT_EQ(s.limits.tunnels, 12U);
  EXPECT_EQ(s.limits.tunnel_idle, 6500ms);
  EXPECT_EQ(s.limits.retry, (RetrySettings{1, 0.5, 1.25, 2U << 20}));
  EXPECT_EQ(s.limits.waiting, (WaitingSettings{5, std::chrono::seconds(7)}));
  EXPECT_EQ(s.limits.buffered_bytes, 4U << 20);
  EXPECT_EQ(s.limits.overload,
            (OverloadSettings{512U << 20, 500ms, 0.5, 0.55, 0.6, 0.7, 0.8, 0.1}));
  ASSERT_EQ(s.fleet.endpoints.size(), 3U);
  EXPECT_EQ(s.fleet.endpoints[0].name, "a");
  EXPECT_EQ(s.fleet.endpoints[0].labels[1].second, "8\n");
  EXPECT_EQ(s.fleet.endpoints[1].name, "10.0.0.2:9000");
  EXPECT_EQ(s.fleet.endpoints[2].name, "[fd00::7]:8000");
  EXPECT_EQ(s.fleet.endpoints[2].address, (HostPort{"fd00::7", 8000}));
  EXPECT_EQ(s.fleet.endpoints_file, "/etc/endpoints.yaml");
  EXPECT_EQ(s.fleet.scrape_interval, 100ms);
  EXPECT_EQ(s.fleet.models_interval, 1min);
  EXPECT_EQ(s.fleet.health, (HealthSettings{2s, "/ready", 500ms, 5, 1s, 2min, 0s}));
  EXPECT_EQ(s.prefix.block_bytes, 512U);
  EXPECT_EQ(s.prefix.bytes_per_endpoint, 3U << 20);
  EXPECT_EQ(s.prefix.bytes_unreported, 1U << 20);
  EXPECT_EQ(
      s.tokens,
      (TokenizingSettings{
          {{"llama", "/m/llama"}, {"qwen \"2\"", "/m/qwen"}}, 3, 20ms, 9, 2U << 20, 3U << 20}));
  EXPECT_EQ(s.restart, (RestartSettings{"/var/lib/fairlead", 10s, 8U << 20}));
  EXPECT_EQ(s.replicas, (ReplicaSettings{{"0.0.0.0", 9}, {"routers.svc:9", "[fd00::1]:9"}, "/s"}));
  EXPECT_EQ(s.tracing, (TracingSettings{"http://10.0.0.9:4318", 0.5, "edge"}));
  EXPECT_EQ(s.log.level, LogLevel::kWarning);
}

TEST(Settings, TheEffectiveTextReadsBackEqual) {
  for (const std::string_view text : {std::string_view(""), kFull}) {
    const ServeSettings settings = read(text).settings;
    const Outcome again = read(effective_yaml(settings));
    EXPECT_EQ(again.problems, "");
    EXPECT_EQ(again.settings, settings) << effective_yaml(settings);
  }
}

std::vector<std::string> lines_of(const ServeSettings& settings) {
  std::istringstream text(effective_yaml(settings));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

// Without its line in the file, a setting has its default, and no other one changes.
TEST(Settings, EveryKeyIsReadIntoAFieldOfItsOwn) {
  const std::vector<std::string> full = lines_of(read(kFull).settings);
  std::size_t left_out = 0;
  for (std::size_t at = 0; at < full.size(); ++at) {
    const bool is_leaf = full[at].find(": ") != std::string::npos;
    if (!is_leaf || full[at].find("- {") != std::string::npos) continue;
    // True is an error beside caFile, so that it is at its default here.
    if (full[at].find("insecureSkipVerify") != std::string::npos) continue;
    std::string text;
    for (std::size_t i = 0; i < full.size(); ++i) text += i == at ? "" : full[i] + "\n";
    const std::vector<std::string> rest = lines_of(read(text).settings);
    ASSERT_EQ(rest.size(), full.size()) << full[at];
    for (std::size_t i = 0; i < full.size(); ++i) {
      EXPECT_EQ(rest[i] == full[i], i != at) << "without " << full[at] << ": " << rest[i];
    }
    ++left_out;
  }
  EXPECT_GT(left_out, 60U);
}

TEST(Settings, TheEffectiveTextNamesEverySetting) {
  const std::string text = effective_yaml({});
  EXPECT_NE(text.find("gateway:\n  listen: [\"127.0.0.1:8080\"]\n  workers: 1\n"),
            std::string::npos);
  EXPECT_NE(text.find("  retry:\n    maxAttempts: 3\n    budgetRatio: 0.2\n"), std::string::npos);
  EXPECT_NE(text.find("  bytesPerEndpoint: auto\n"), std::string::npos);
  EXPECT_NE(text.find("  overload:\n    memoryBytes: auto\n    loopLag: 2s\n"), std::string::npos);
  EXPECT_EQ(std::ranges::count(text, '\n'), 95);
}

TEST(Settings, AModelHasOneTokenizer) {
  EXPECT_EQ(
      read("tokens:\n  models:\n  - {model: m, folder: /a}\n  - {model: m, folder: /b}\n").problems,
      "f:4: tokens.models[1].model: \"m\" is given twice\n");
  EXPECT_EQ(read("tokens: {models: [{model: m}]}").problems,
            "f:1: tokens.models[0]: \"folder\" is missing\n");
}

TEST(Settings, RoutersThatTellEachOtherNeedAddressesAndASecret) {
  EXPECT_EQ(read("replicas: {addresses: [\"10.0.0.1:9\"]}").problems,
            "f:1: replicas.secretFile: is missing; routers that tell each other need both "
            "addresses and secretFile\n");
  EXPECT_EQ(read("replicas:\n  secretFile: /s\n").problems,
            "f:1: replicas.addresses: is missing; routers that tell each other need both "
            "addresses and secretFile\n");
  EXPECT_EQ(read("replicas:\n  secretFile: /s\n  addresses: [\"tcp://a:9\", a]\n").problems,
            "f:3: replicas.addresses: \"tcp://a:9\": write host:port\n"
            "f:3: replicas.addresses: \"a\" has no port; write host:port\n");
}

TEST(Settings, AnOverloadActionThatNeverEndsIsAnError) {
  EXPECT_EQ(read("limits:\n  overload: {dropIdle: 0.3, hysteresis: 0.3}\n").problems,
            "f:2: limits.overload.hysteresis: must be less than every threshold; the lowest is "
            "0.3\n");
  EXPECT_EQ(read("limits: {bodyBytes: 1Mi,\n  bufferedBytes: 1Mi}\n").problems,
            "f:2: warning: limits.bufferedBytes: is less than two bodies of bodyBytes, 1Mi; two "
            "are allowed\n");
}

TEST(Settings, ReportsAllErrorsOfADocumentAtOnce) {
  EXPECT_EQ(read("gateway:\n"
                 "  listen: []\n"
                 "  workers: 0\n"
                 "  adminListen: localhost\n"
                 "  requestIdHeader: X-Id\n"
                 "limits:\n"
                 "  bodybytes: 1\n"
                 "  clientIdle: 75\n"
                 "  retry: {maxAttempts: 11}\n"
                 "fleet:\n"
                 "  health:\n"
                 "    path: health\n"
                 "    eject: 2m\n"
                 "prefix:\n"
                 "  bytesPerEndpoint: all\n"
                 "gatway: {}\n"
                 "log: {level: trace}\n")
                .problems,
            "f:2: gateway.listen: must not be an empty list\n"
            "f:3: gateway.workers: must be from 1 to 256, is 0\n"
            "f:4: gateway.adminListen: \"localhost\" has no port; write host:port\n"
            "f:5: gateway.requestIdHeader: must be a header name in lower case\n"
            "f:7: limits.bodybytes: unknown key; did you mean \"bodyBytes\"?\n"
            "f:8: limits.clientIdle: expected a duration with its unit, such as 50ms or 1m30s, "
            "found \"75\"\n"
            "f:9: limits.retry.maxAttempts: must be from 1 to 8, is 11\n"
            "f:12: fleet.health.path: must begin with /\n"
            "f:13: fleet.health.eject: is longer than ejectMax\n"
            "f:15: prefix.bytesPerEndpoint: expected a size in bytes, such as 65536, 64Ki or 1Gi, "
            "found \"all\"\n"
            "f:16: gatway: unknown key; did you mean \"gateway\"?\n"
            "f:17: log.level: must be one of debug, info, warning, error, is \"trace\"\n");
}

TEST(Settings, ReportsTracingThatCannotWork) {
  EXPECT_EQ(read("tracing:\n"
                 "  endpoint: http://10.0.0.9:4318/v1/traces\n"
                 "  sampleRatio: 1.5\n"
                 "  serviceName: ''\n")
                .problems,
            "f:2: tracing.endpoint: \"http://10.0.0.9:4318/v1/traces\": write host:port, "
            "http://host:port or https://host:port, no path\n"
            "f:3: tracing.sampleRatio: must be from 0 to 1, is 1.5\n"
            "f:4: tracing.serviceName: must not be empty\n");
}

TEST(Settings, OriginsAreWrittenAsBrowsersSendThem) {
  for (const char* wrong : {"a.example", "https://a.example/", "https://A.example", "https://",
                            "://a", "null", "https://*.example", ""}) {
    EXPECT_NE(read(fmt::format("gateway: {{cors: {{allowOrigins: [\"{}\"]}}}}", wrong))
                  .problems.find("f:1: gateway.cors.allowOrigins: "),
              std::string::npos)
        << wrong;
  }
}

TEST(Settings, ReadsTlsAndHttp2) {
  const Outcome outcome = read(
      "gateway:\n"
      "  tls:\n"
      "    certFile: /c.pem\n"
      "    keyFile: /k.pem\n"
      "    certificates: [{certFile: /c2.pem, keyFile: /k2.pem}]\n"
      "  http2: {maxConcurrentStreams: 7}\n"
      "fleet:\n"
      "  tls: {caFile: /ca.pem, serverName: engines.local}\n"
      "  endpoints:\n"
      "    - url: https://10.0.0.2:8000\n"
      "    - url: http://10.0.0.3:8000/\n");
  EXPECT_EQ(outcome.problems, "");
  EXPECT_EQ(outcome.settings.gateway.tls.cert_file, "/c.pem");
  EXPECT_EQ(outcome.settings.gateway.tls.key_file, "/k.pem");
  EXPECT_EQ(outcome.settings.gateway.tls.certificates,
            (std::vector<CertificateSetting>{{"/c2.pem", "/k2.pem"}}));
  EXPECT_EQ(outcome.settings.gateway.http2.max_concurrent_streams, 7U);
  EXPECT_EQ(outcome.settings.fleet.tls.ca_file, "/ca.pem");
  EXPECT_EQ(outcome.settings.fleet.tls.server_name, "engines.local");
  EXPECT_FALSE(outcome.settings.fleet.tls.insecure_skip_verify);
  ASSERT_EQ(outcome.settings.fleet.endpoints.size(), 2U);
  EXPECT_TRUE(outcome.settings.fleet.endpoints[0].tls);
  EXPECT_EQ(outcome.settings.fleet.endpoints[0].name, "10.0.0.2:8000");
  EXPECT_FALSE(outcome.settings.fleet.endpoints[1].tls);
  EXPECT_EQ(read(effective_yaml(outcome.settings)).settings, outcome.settings);
}

TEST(Settings, ReportsTlsSettingsThatDoNotFit) {
  EXPECT_EQ(read("gateway:\n"
                 "  tls: {certFile: /c.pem}\n"
                 "fleet:\n"
                 "  tls: {caFile: /ca.pem, insecureSkipVerify: true}\n")
                .problems,
            "f:2: gateway.tls.keyFile: is missing; TLS needs both certFile and keyFile\n"
            "f:4: fleet.tls.insecureSkipVerify: makes caFile useless; give only one of them\n");
  EXPECT_EQ(read("gateway:\n"
                 "  tls:\n"
                 "    certificates:\n"
                 "    - {certFile: /c.pem}\n")
                .problems,
            "f:3: gateway.tls.certificates: needs certFile and keyFile, for every other name\n"
            "f:4: gateway.tls.certificates[0]: \"keyFile\" is missing\n");
}

TEST(Settings, ReportsEndpointErrors) {
  EXPECT_EQ(read("fleet:\n"
                 "  endpoints:\n"
                 "    - address: 10.0.0.1:8000\n"
                 "    - url: https://10.0.0.2:8000\n"
                 "    - name: b\n"
                 "    - {name: c, address: '10.0.0.3:1', url: '10.0.0.3:1'}\n"
                 "    - {name: 10.0.0.1:8000, address: '10.0.0.4:1'}\n"
                 "    - {name: e, address: 10.0.0.1:8000}\n"
                 "    - {name: 'f f', address: '10.0.0.6:1'}\n"
                 "    - {name: g, address: '10.0.0.7:0', weight: 1}\n"
                 "    - {name: h, address: 'http://10.0.0.8:1/v1'}\n"
                 "    - {name: i, address: 'example.256:80'}\n"
                 "    - {name: '', address: '10.0.0.9:80'}\n"
                 "    - {name: \"j\\x7F\", address: '10.0.0.10:80'}\n")
                .problems,
            "f:5: fleet.endpoints[2]: \"address\" is missing\n"
            "f:6: fleet.endpoints[3].url: is the same as address; give only one of them\n"
            "f:7: fleet.endpoints[4].name: \"10.0.0.1:8000\" is already used by "
            "fleet.endpoints[0]\n"
            "f:8: fleet.endpoints[5].address: \"10.0.0.1:8000\" is already used by "
            "fleet.endpoints[0]\n"
            "f:9: fleet.endpoints[6].name: must be at most 253 bytes without white space or "
            "control characters\n"
            "f:10: fleet.endpoints[7].weight: unknown key; known here: address, labels, name, "
            "url\n"
            "f:10: fleet.endpoints[7].address: \"10.0.0.7:0\": the port must be from 1 to 65535\n"
            "f:11: fleet.endpoints[8].address: \"http://10.0.0.8:1/v1\": write host:port, "
            "http://host:port or https://host:port, no path\n"
            "f:12: fleet.endpoints[9].address: \"example.256:80\" has a host that is neither an "
            "IPv4 address nor a name\n"
            "f:13: fleet.endpoints[10].name: must not be empty\n"
            "f:14: fleet.endpoints[11].name: must be at most 253 bytes without white space or "
            "control characters\n");
}

TEST(Settings, OneMistakeIsOneProblem) {
  EXPECT_EQ(read("gateway: {listen: '127.0.0.1:80'}\n").problems,
            "f:1: gateway.listen: expected a list of texts, found the text \"127.0.0.1:80\"\n");
  EXPECT_EQ(
      read("gateway: {listen: ['example.com:80']}\n").problems,
      "f:1: gateway.listen: \"example.com:80\" names a host; write an IP address of this machine "
      "or localhost\n");
  EXPECT_EQ(read("limits: {requestTotal: 9999999h}\n").problems,
            "f:1: limits.requestTotal: must be from 1ms to 86400s, is 9999999h\n");
}

TEST(Settings, TwoListenersOnOnePortAreRefused) {
  const auto listening = [](std::string_view listen, std::string_view admin) {
    return read(fmt::format("gateway:\n  listen: {}\n  adminListen: '{}'\n", listen, admin))
        .problems;
  };
  EXPECT_EQ(listening("['127.0.0.1:80', '127.0.0.1:80']", "127.0.0.1:81"),
            "f:2: gateway.listen: 127.0.0.1:80 and 127.0.0.1:80 are the same port\n");
  EXPECT_EQ(listening("['0.0.0.0:80']", "localhost:80"),
            "f:3: gateway.adminListen: adminListen, localhost:80, and listen, 0.0.0.0:80, are the "
            "same port\n");
  EXPECT_NE(listening("['[::]:80', '[::1]:80']", "127.0.0.1:80"), "");
  EXPECT_NE(listening("['[::1]:80', '[::]:80']", "127.0.0.1:80"), "");
  EXPECT_NE(listening("['127.0.0.2:80']", "0.0.0.0:80"), "");
  for (const auto* listen : {"['127.0.0.1:0', '127.0.0.1:0']", "['[::]:80']", "['127.0.0.2:80']"}) {
    EXPECT_EQ(listening(listen, "127.0.0.1:80"), "") << listen;
  }
  EXPECT_EQ(read("gateway: {listen: ['127.0.0.1:9090']}\n").problems,
            "f:1: gateway.listen: adminListen, 127.0.0.1:9090, and listen, 127.0.0.1:9090, are the "
            "same port\n");
}

TEST(Settings, AWaitLongerThanTheWholeRequestIsRemarkedOn) {
  EXPECT_EQ(read("limits:\n  requestTotal: 1s\n  upstreamFirstByte: 2h\n").problems,
            "f:3: warning: limits.upstreamFirstByte: has no effect: requestTotal, 1s, is "
            "shorter\n");
  EXPECT_EQ(read("limits: {requestTotal: 1s}\n").problems, "");
  for (const auto* key : {"bodyRead", "headerRead", "tunnelIdle", "upstreamConnect",
                          "upstreamFirstByte", "upstreamIdle"}) {
    EXPECT_NE(read(fmt::format("limits: {{requestTotal: 1s, {}: 2s}}\n", key)).problems, "") << key;
    EXPECT_EQ(read(fmt::format("limits: {{requestTotal: 1s, {}: 1s}}\n", key)).problems, "") << key;
  }
}

TEST(Settings, HealthPathsAndEjectionsHaveTheirBounds) {
  for (const auto* path : {"/a b", "/a\\tb", "/a\\r", "/a\\n"}) {
    EXPECT_EQ(read(fmt::format("fleet: {{health: {{path: \"{}\"}}}}\n", path)).problems,
              "f:1: fleet.health.path: must not contain white space\n")
        << path;
  }
  EXPECT_EQ(read("fleet: {health: {eject: 1m, ejectMax: 1m}}\n").problems, "");
}

TEST(HostPort, ReadsAndPrintsAddressesAndLocalhost) {
  for (const auto* text :
       {"10.0.0.1:80", "255.255.255.0:1", "[::1]:8000", "[::]:1", "localhost:65535", "0.0.0.0:0",
        "[1:2:3:4:5:6:7:8]:1", "[fe80::1:2]:1", "[1::]:1", "[::ffff:10.0.0.1]:1",
        "[1:2:3:4:5:6:10.0.0.1]:1", "[1:2:3:4:5:6:7::]:1"}) {
    const auto address = parse_host_port(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_EQ(to_string(*address), text);
  }
}

TEST(HostPort, RefusesAllElse) {
  for (const auto* text : {"",
                           "host",
                           ":80",
                           "host:",
                           "host:x",
                           "host:65536",
                           "host:-1",
                           "::1:80",
                           "[::1]",
                           "[]:80",
                           "[host]:80",
                           "[::1:80",
                           "h ost:80",
                           "h/ost:80",
                           "127.0.0.1:80x",
                           "user@host:80",
                           "[fe80::1%eth0]:80",
                           "host:80",
                           "engine-0.ns.svc:80",
                           "1.2.3:80",
                           "1.2.3.4.5:80",
                           "1.2.3.256:80",
                           "1.2.3.04:80",
                           "1.2.3.:80",
                           "[:]:80",
                           "[:::]:80",
                           "[1:2]:80",
                           "[1:2:3:4:5:6:7]:80",
                           "[1:2:3:4:5:6:7:8:9]:80",
                           "[1::2::3]:80",
                           "[1:2:3:4:5:6:7:8::]:80",
                           "[12345::]:80",
                           "[::g]:80",
                           "[1.2.3.4]:80",
                           "[1.2.3.4::]:80",
                           "[::1.2.3]:80",
                           "[1:2:3:4:5:6:7:1.2.3.4]:80"}) {
    EXPECT_FALSE(parse_host_port(text).has_value()) << text;
  }
  EXPECT_FALSE(parse_host_port(std::string(254, 'a') + ":80").has_value());
}

TEST(EndpointAddress, MayNameAHost) {
  for (const auto* text : {"engine-0.ns.svc:80", "Host:80", "http://a_b.example:1",
                           "https://engine.example:443", "1a.2b:80"}) {
    const auto endpoint = parse_endpoint_address(text);
    ASSERT_TRUE(endpoint.has_value()) << text;
    EXPECT_TRUE(is_host_name(endpoint->address.host)) << text;
  }
  EXPECT_EQ(parse_endpoint_address("Engine.Example:80")->address.host, "engine.example");
  for (const auto* text : {"10.0.0.1:80", "[::1]:80", "localhost:80"}) {
    EXPECT_FALSE(is_host_name(parse_endpoint_address(text)->address.host)) << text;
  }
  for (const auto* text : {"1.2.3:80", "1.2.3.4.5:80", "1.2.3.256:80", "engine.7:80", "engine.:80",
                           ".engine:80", "a..b:80", "-a.b:80", "a-.b:80", "a b:80", "a/b:80"}) {
    EXPECT_FALSE(parse_endpoint_address(text).has_value()) << text;
  }
  EXPECT_FALSE(parse_endpoint_address(std::string(64, 'a') + ".example:80").has_value());
}

TEST(EndpointsFile, ReadsAListAndAllowsAnEmptyOne) {
  Problems problems;
  const auto some = parse_endpoints_file(
      "endpoints:\n- {name: a, address: '10.0.0.1:1', labels: {zone: z}}\n- address: "
      "'10.0.0.1:2'\n",
      "e", problems);
  ASSERT_TRUE(some.has_value());
  ASSERT_EQ(some->size(), 2U);
  EXPECT_EQ((*some)[0].labels[0], (std::pair<std::string, std::string>{"zone", "z"}));
  EXPECT_EQ(parse_endpoints_file("endpoints: []\n", "e", problems)->size(), 0U);
  EXPECT_EQ(problems.to_string(), "");
}

TEST(EndpointsFile, AnyErrorGivesNoList) {
  const auto failure = [](std::string_view text) {
    Problems problems;
    EXPECT_FALSE(parse_endpoints_file(text, "e", problems).has_value());
    return problems.to_string();
  };
  EXPECT_EQ(failure(""),
            "e:1: \"endpoints\" is missing; write `endpoints: []` for an empty pool\n");
  EXPECT_EQ(failure("endpoints:\n- address: '10.0.0.1:1'\n- address: x\n"),
            "e:3: endpoints[1].address: \"x\" has no port; write host:port\n");
  EXPECT_EQ(failure("endpoints: []\nother: 1\n"),
            "e:2: other: unknown key; known here: endpoints\n");
  EXPECT_NE(failure("endpoints: [{address"), "");
}

TEST(EndpointsFile, EarlierProblemsOfTheCallerDoNotCount) {
  Problems problems;
  problems.add({"x", 1, "", "earlier", Severity::kError});
  EXPECT_TRUE(parse_endpoints_file("endpoints: []", "e", problems).has_value());
}

TEST(Settings, DamagedDocumentsNeverCrashAndNeverLoseTheRoundTrip) {
  constexpr std::string_view kBytes = "{}[]:,-?&*!|>'\"%@`#\n\t ~a0\\\xFF\x00.";
  Random random(7);
  for (int i = 0; i < 3000; ++i) {
    std::string text(kFull);
    for (std::uint64_t edits = 1 + random.below(4); edits > 0; --edits) {
      const std::size_t at = random.below(text.size());
      const char byte = kBytes[random.below(kBytes.size())];
      switch (random.below(3)) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.insert(at, 1, byte);
          break;
        default:
          text.erase(at, 1 + random.below(20));
          break;
      }
    }
    const Outcome outcome = read(text);
    if (!outcome.problems.empty()) continue;
    EXPECT_EQ(read(effective_yaml(outcome.settings)).settings, outcome.settings) << text;
  }
}

}  // namespace
}  // namespace fairlead::config
