// SPDX-License-Identifier: Apache-2.0
#include "core/config/epp_settings.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace fairlead::config {
namespace {

struct Read {
  EppSettings settings;
  std::string problems;
};

Read read_words(std::vector<std::string_view> words, std::string_view file = "",
                const EppEnvironment& environment = {}) {
  Problems problems;
  const auto names = epp_flag_names();
  const GivenFlags flags = parse_go_flags(words, names, problems);
  Section root = Section::parse(file, "f", problems);
  Read read{read_epp_settings(root, flags, environment, problems), {}};
  root.finish();
  read.problems = problems.to_string();
  return read;
}

// With the one flag that is always wanted.
Read read_flags(std::vector<std::string_view> words, std::string_view file = "") {
  words.insert(words.begin(), "--pool-name=p");
  return read_words(std::move(words), file);
}

std::string flags_text(std::vector<std::string_view> words) {
  constexpr FlagName kKnown[] = {
      {"port", FlagShape::kValue}, {"on", FlagShape::kSwitch}, {"v", FlagShape::kValue}};
  Problems problems;
  const GivenFlags flags = parse_go_flags(words, kKnown, problems);
  std::string out;
  for (const auto& flag : flags.all()) out += flag.name + "=" + flag.value + " ";
  return out + problems.to_string();
}

TEST(GoFlags, EverySpellingOfGoIsRead) {
  EXPECT_EQ(flags_text({"-port", "1", "--port", "2", "-port=3", "--port=4", "--port="}),
            "port=1 port=2 port=3 port=4 port= ");
  EXPECT_EQ(flags_text({"-on", "--on", "-on=false", "-v", "3", "-v=4"}),
            "on=true on=true on=false v=3 v=4 ");
  // A switch takes no separate value, a value may look like a flag.
  EXPECT_EQ(flags_text({"--port", "--on", "--v", "-1"}), "port=--on v=-1 ");
  EXPECT_EQ(flags_text({}), "");
}

TEST(GoFlags, WhatCannotBeReadIsTold) {
  EXPECT_EQ(flags_text({"--prt=1", "word", "-", "", "--", "--on", "-port"}),
            "unknown flag \"--prt\"; did you mean \"port\"?\n"
            "\"word\" is no flag; there are no other words here\n"
            "\"-\" is no flag; there are no other words here\n"
            "\"\" is no flag; there are no other words here\n"
            "\"--on\" is no flag; there are no other words here\n"
            "\"-port\" is no flag; there are no other words here\n");
  EXPECT_EQ(flags_text({"--on", "--port"}), "on=true --port: needs a value\n");
  EXPECT_EQ(flags_text({"---on"}), "unknown flag \"---on\"; did you mean \"on\"?\n");
}

TEST(GoFlags, TheLastOneWins) {
  GivenFlags flags;
  flags.add("a", "1");
  flags.add("a", "2");
  EXPECT_EQ(*flags.last("a"), "2");
  EXPECT_EQ(flags.last("b"), nullptr);
}

TEST(EppFlags, AreThoseOfLlmd) {
  std::vector<std::string_view> names;
  for (const EppFlag& flag : epp_flags()) names.push_back(flag.name);
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string_view>{"allow-experimental-plugins",
                                                  "cache-info-metric",
                                                  "cert-path",
                                                  "config-file",
                                                  "config-text",
                                                  "disable-endpoint-subset-filter",
                                                  "drain-timeout",
                                                  "emit-endpoint-scores",
                                                  "enable-cert-reload",
                                                  "enable-grpc-stream-metrics",
                                                  "enable-pprof",
                                                  "endpoint-selector",
                                                  "endpoint-target-ports",
                                                  "grpc-health-port",
                                                  "grpc-max-recv-msg-size",
                                                  "grpc-max-send-msg-size",
                                                  "grpc-port",
                                                  "ha-enable-leader-election",
                                                  "health-checking",
                                                  "kv-cache-usage-percentage-metric",
                                                  "lora-info-metric",
                                                  "metrics-cert-dir",
                                                  "metrics-client-ca-file",
                                                  "metrics-endpoint-auth",
                                                  "metrics-port",
                                                  "metrics-staleness-threshold",
                                                  "pool-group",
                                                  "pool-name",
                                                  "pool-namespace",
                                                  "refresh-metrics-interval",
                                                  "refresh-prometheus-metrics-interval",
                                                  "secure-serving",
                                                  "tls-cipher-suites",
                                                  "tls-min-version",
                                                  "total-queued-requests-metric",
                                                  "total-running-requests-metric",
                                                  "tracing",
                                                  "v",
                                                  "zap-devel",
                                                  "zap-encoder",
                                                  "zap-log-level",
                                                  "zap-stacktrace-level",
                                                  "zap-time-encoding"}));
  EXPECT_NE(epp_flags_text().find("--grpc-port"), std::string::npos);
}

// Whoever writes out every default gets the defaults, with a remark only for what does nothing.
TEST(EppFlags, EveryDefaultCanBeWritten) {
  for (const EppFlag& flag : epp_flags()) {
    if (flag.fallback.empty()) continue;
    const std::string word = "--" + std::string(flag.name) + "=" + std::string(flag.fallback);
    const Read read = read_flags({word});
    EppSettings settings = read.settings;
    if (flag.name == "v") settings.log_level.reset();
    EXPECT_EQ(settings, read_flags({}).settings) << word;
    const bool is_silent = flag.use == FlagUse::kHonoured || flag.fallback == "false" ||
                           flag.name == "tracing";  // Charts always write it.
    EXPECT_EQ(read.problems.empty(), is_silent) << word << read.problems;
  }
}

TEST(EppSettings, TheDefaultsAreLlmds) {
  const Read read = read_flags({});
  EXPECT_EQ(read.problems, "");
  EXPECT_EQ(read.settings.listen, (std::vector<HostPort>{{"0.0.0.0", 9002}}));
  EXPECT_EQ(read.settings.health_listen[0].port, 9003);
  EXPECT_EQ(read.settings.metrics_listen[0].port, 9090);
  EXPECT_TRUE(read.settings.tls.is_on);
  EXPECT_EQ(read.settings.message_bytes_max, 4U << 20);
}

TEST(EppSettings, FlagsAreRead) {
  const Read read = read_flags({"-grpc-port",
                                "19002",
                                "--grpc-health-port=19003",
                                "--metrics-port",
                                "19090",
                                "--drain-timeout",
                                "5s",
                                "--grpc-max-recv-msg-size=10MiB",
                                "--pool-namespace",
                                "ns",
                                "--disable-endpoint-subset-filter",
                                "--tracing=false",
                                "--refresh-metrics-interval=100ms",
                                "--metrics-staleness-threshold=1s",
                                "--health-checking",
                                "--cert-path=/tls",
                                "--enable-cert-reload",
                                "--tls-min-version=VersionTLS13",
                                ("--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,"
                                 "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
                                "--enable-grpc-stream-metrics",
                                "--allow-experimental-plugins",
                                "-v=5",
                                "--zap-encoder",
                                "json"});
  EXPECT_EQ(read.problems, "");
  const EppSettings& settings = read.settings;
  EXPECT_EQ(settings.listen[0].port, 19002);
  EXPECT_EQ(settings.health_listen[0].port, 19003);
  EXPECT_EQ(settings.metrics_listen[0].port, 19090);
  EXPECT_EQ(settings.drain_timeout, from_seconds(5));
  EXPECT_EQ(settings.message_bytes_max, 10U << 20);
  EXPECT_TRUE(settings.ignores_subset && settings.health_on_listen);
  EXPECT_TRUE(settings.allows_experimental);
  EXPECT_EQ(settings.metrics_interval, from_seconds(0.1));
  EXPECT_EQ(settings.metrics_staleness, from_seconds(1));
  EXPECT_EQ(settings.tls.folder, "/tls");
  EXPECT_EQ(settings.tls.min_minor, 3);
  EXPECT_EQ(settings.tls.cipher_list, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384");
  EXPECT_EQ(settings.log_level, LogLevel::kDebug);
}

TEST(EppSettings, OnePoolIdentityIsWanted) {
  EXPECT_EQ(read_words({}).problems, "--pool-name: give it, or --endpoint-selector\n");
  EXPECT_EQ(read_words({"--pool-name=p", "--endpoint-selector=app=x"}).problems,
            "--pool-name: excludes --endpoint-selector; give only one of them\n");
  EXPECT_EQ(read_words({"--endpoint-selector=app=x"}).problems,
            "--endpoint-selector: needs --endpoint-target-ports beside it\n"
            "--endpoint-selector: needs the name of this pod in POD_NAME, as in "
            "NAME-5d4f6b7c8-x2x4z, to name the pool; it is \"\"\n");
  const Read selected = read_words({"--endpoint-selector=app=x", "--endpoint-target-ports=1,2,1"},
                                   "", EppEnvironment{"my-epp-5d4f6b7c8-x2x4z"});
  EXPECT_EQ(selected.problems, "");
  EXPECT_EQ(selected.settings.pool.name, "my-epp");
}

TEST(EppSettings, WrongFlagsAreAllTold) {
  EXPECT_EQ(
      read_flags({"--grpc-port=0", "--drain-timeout=soon", "--grpc-max-recv-msg-size=10QB",
                  "--secure-serving=maybe", "--tls-min-version=TLS12", "--tls-cipher-suites=RC4",
                  "--pool-group=g", "--endpoint-target-ports=x", "-v=x", "--zap-log-level=warn",
                  "--total-queued-requests-metric=x", "--metrics-client-ca-file=ca"})
          .problems,
      "--grpc-port: expected a whole number from 1 to 65535, found \"0\"\n"
      "--pool-group: only inference.networking.k8s.io is supported\n"
      "--endpoint-target-ports: \"x\" is no port from 0 to 65535\n"
      "--secure-serving: expected true or false, found \"maybe\"\n"
      "--tls-min-version: expected VersionTLS12 or VersionTLS13, found \"TLS12\"\n"
      "--tls-cipher-suites: \"RC4\" is no cipher suite that is offered here\n"
      "--v: expected a whole number from 0 to 127, found \"x\"\n"
      "--zap-log-level: expected debug, info, error, panic or a verbosity above 0, found "
      "\"warn\"\n"
      "--drain-timeout: expected a duration up to 3600s, such as 50ms or 1m30s, found "
      "\"soon\"\n"
      "--grpc-max-recv-msg-size: expected a size from 1Ki to 1Gi, such as 10MiB, found "
      "\"10QB\"\n"
      "--total-queued-requests-metric: refused, as by llm-d: names of metrics belong to "
      "engineConfigs of core-metrics-extractor\n"
      "warning: --metrics-client-ca-file: no effect: metrics are served without TLS, as "
      "llm-d does with file-discovery\n"
      "--metrics-client-ca-file: needs --metrics-cert-dir\n");
}

TEST(EppSettings, FlagsThatDoLittleSaySo) {
  EXPECT_EQ(read_flags({"--refresh-metrics-interval=10ms", "--tls-min-version=VersionTLS10",
                        "--ha-enable-leader-election", "--zap-devel=false", "--enable-pprof"})
                .problems,
            "warning: --tls-min-version: is raised to VersionTLS12\n"
            "warning: --refresh-metrics-interval: is raised to 50ms\n"
            "warning: --ha-enable-leader-election: no effect: every replica serves; in-flight "
            "counts are of each alone\n"
            "warning: --enable-pprof: no effect: there is no Go runtime to profile\n");
}

TEST(EppSettings, TracingIsNotRemarkedOnAsChartsAlwaysWriteIt) {
  EXPECT_EQ(read_flags({"--tracing=true"}).problems, "");
  EXPECT_EQ(read_flags({"--tracing=false"}).problems, "");
  EXPECT_EQ(read_flags({"--tracing=maybe"}).problems,
            "--tracing: expected true or false, found \"maybe\"\n");
  EXPECT_TRUE(read_flags({"--tracing=true"}).settings.traces);
  EXPECT_FALSE(read_flags({"--tracing=false"}).settings.traces);
}

TEST(EppSettings, TheFileHasOurOwnAndAFlagWins) {
  constexpr std::string_view kFile =
      "epp:\n  listen: ['127.0.0.1:0', '[::1]:0']\n  healthListen: ['127.0.0.1:1']\n"
      "  responseProcessing: none\n  workers: 2\n  streamsMax: 7\n  requestBytesMax: 1Mi\n"
      "  bufferedBytesMax: 8Mi\n  drainTimeout: 1s\n";
  const Read read = read_flags({"--drain-timeout=2s", "--grpc-health-port=2"}, kFile);
  EXPECT_EQ(read.problems, "");
  EXPECT_EQ(read.settings.listen, (std::vector<HostPort>{{"127.0.0.1", 0}, {"::1", 0}}));
  EXPECT_EQ(read.settings.health_listen, (std::vector<HostPort>{{"127.0.0.1", 2}}));
  EXPECT_EQ(read.settings.response_processing, ResponseProcessing::kNone);
  EXPECT_EQ(read.settings.workers, 2U);
  EXPECT_EQ(read.settings.streams_max, 7U);
  EXPECT_EQ(read.settings.request_bytes_max, 1U << 20);
  EXPECT_EQ(read.settings.drain_timeout, from_seconds(2));
  EXPECT_EQ(read_flags({}, "epp: {requestBytesMax: 256Mi}\n").settings.request_bytes_max,
            256U << 20);
  const Read again = read_flags({}, effective_yaml(read.settings));
  EXPECT_EQ(again.problems, "");
  EXPECT_EQ(again.settings, read.settings);

  EXPECT_EQ(read_flags({},
                       "epp: {requestBytesMax: 1Mi, bufferedBytesMax: 1Ki, nap: 1,\n"
                       "  listen: ['0.0.0.0:9003']}\nlimits: {}\n")
                .problems,
            "two listeners want 0.0.0.0:9003\n"
            "f:1: epp.bufferedBytesMax: is less than requestBytesMax\n"
            "f:1: epp.nap: unknown key; known here: accessLog, adminListen, bufferedBytesMax, "
            "clientCaFile, drainTimeout, healthListen, listen, metricsListen, objectives, "
            "requestBytesMax, responseProcessing, streamsMax, workers\n"
            "f:3: warning: limits: has no effect: it is for `fairlead serve`\n");
}

TEST(EppSettings, TheConfigurationIsAFileOrText) {
  Problems problems;
  GivenFlags flags;
  flags.add("config-file", "a.yaml");
  EXPECT_EQ(config_source(flags, problems).file, "a.yaml");
  flags.add("config-text", "{}");
  config_source(flags, problems);
  EXPECT_EQ(problems.to_string(), "--config-file: excludes --config-text; give only one of them\n");
}

TEST(EppSettings, WithoutEndpointsKubernetesWouldBeNeeded) {
  Problems problems;
  check_endpoints(EndpointsFrom::kFleet, {}, problems);
  check_endpoints(EndpointsFrom::kDiscovery, {}, problems);
  EXPECT_EQ(problems.to_string(), "");
  check_endpoints(EndpointsFrom::kNowhere, {}, problems);
  EXPECT_NE(problems.to_string().find("--pool-name: not supported yet: finding a pool's pods"),
            std::string::npos);
}

TEST(DiscoveryFile, EndpointsAreReadAsLlmdWritesThem) {
  Problems problems;
  const auto endpoints = parse_discovery_file(
      "endpoints:\n"
      "- {name: a, address: 10.0.0.7, port: \"8000\", labels: {llm-d.ai/role: decode}}\n"
      "- {name: a, namespace: other, address: 'fd00::7', port: 8000}\n"
      "- {name: c, address: '[fd00::8]', port: 80}\n"
      "- {name: d, address: Engine.svc, port: 80}\n",
      "e", problems);
  EXPECT_EQ(problems.to_string(), "");
  ASSERT_TRUE(endpoints.has_value());
  ASSERT_EQ(endpoints->size(), 4U);
  EXPECT_EQ((*endpoints)[0].name, "default/a");
  EXPECT_EQ((*endpoints)[0].address, (HostPort{"10.0.0.7", 8000}));
  EXPECT_EQ((*endpoints)[0].labels.front().second, "decode");
  EXPECT_EQ((*endpoints)[1].name, "other/a");
  EXPECT_EQ(to_string((*endpoints)[1].address), "[fd00::7]:8000");
  EXPECT_EQ((*endpoints)[2].address.host, "fd00::8");
  EXPECT_EQ((*endpoints)[3].address.host, "engine.svc");
  EXPECT_TRUE(parse_discovery_file("endpoints: []", "e", problems).has_value());
}

TEST(DiscoveryFile, AnythingWrongKeepsTheOldEndpoints) {
  Problems problems;
  const auto endpoints = parse_discovery_file(
      "endpoints:\n"
      "- {name: a, address: 10.0.0.7, port: 0}\n"
      "- {name: b, address: 10.0.0.700, port: 1}\n"
      "- {name: c, address: 'x:1', port: 80000, rank: 1}\n"
      "- {address: x}\n"
      "- {name: d, address: y, port: 1}\n"
      "- {name: d, address: z, port: 1}\n"
      "- {name: e, address: y, port: 1}\n",
      "e", problems);
  EXPECT_FALSE(endpoints.has_value());
  EXPECT_EQ(problems.to_string(),
            "e:2: endpoints[0].port: must be from 1 to 65535, is \"0\"\n"
            "e:3: endpoints[1].address: \"10.0.0.700\" is no address and no host name\n"
            "e:4: endpoints[2].rank: unknown key; known here: address, labels, name, namespace, "
            "port\n"
            "e:4: endpoints[2].address: \"x:1\" is no address and no host name\n"
            "e:4: endpoints[2].port: must be from 1 to 65535, is \"80000\"\n"
            "e:5: endpoints[3]: \"name\" is missing\n"
            "e:5: endpoints[3]: \"port\" is missing\n"
            "e:7: endpoints[5].name: \"default/d\" is already used by endpoints[4]\n"
            "e:8: endpoints[6].address: \"y:1\" is already used by endpoints[4]\n");
  Problems blank;
  EXPECT_FALSE(parse_discovery_file("", "e", blank).has_value());
}

}  // namespace
}  // namespace fairlead::config
