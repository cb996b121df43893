// SPDX-License-Identifier: Apache-2.0
#include "router/build.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/scheduling/policy_config.h"

namespace fairlead::router {
namespace {

TEST(BuildGeneration, AnEmptyDocumentIsTheDefaultsWithTheDefaultPolicy) {
  config::Problems problems;
  const auto generation = build_generation("{}", "defaults", "", problems);
  ASSERT_NE(generation, nullptr) << problems.to_string();
  EXPECT_EQ(generation->policy, "fairlead");
  EXPECT_EQ(generation->settings, config::ServeSettings{});
}

TEST(BuildGeneration, EveryShippedPolicyBuildsByName) {
  for (const std::string_view name : scheduling::shipped_policy_names()) {
    config::Problems problems;
    const auto generation = build_generation("{}", "defaults", name, problems);
    ASSERT_NE(generation, nullptr) << name << ": " << problems.to_string();
    EXPECT_EQ(generation->policy, name);
  }
}

TEST(BuildGeneration, SettingsAndPolicyComeFromOneDocument) {
  config::Problems problems;
  const auto generation = build_generation(R"(
gateway: {workers: 3}
plugins:
  - type: random-picker
schedulingProfiles:
  - name: default
    plugins: [{pluginRef: random-picker}]
)",
                                           "serve.yaml", "", problems);
  ASSERT_NE(generation, nullptr) << problems.to_string();
  EXPECT_EQ(generation->settings.gateway.workers, 3U);
  EXPECT_EQ(generation->policy, "custom");
}

TEST(BuildGeneration, TokenizersThatNobodyAsksAreWarnedOf) {
  for (const auto& [policy, warned] : {std::pair{"fairlead", true}, {"fairlead-exact", false}}) {
    config::Problems problems;
    ASSERT_NE(build_generation("tokens: {models: [{model: m, folder: /m}]}", "f", policy, problems),
              nullptr);
    EXPECT_EQ(problems.to_string(),
              warned ? "f:1: warning: tokens.models: has no effect: the policy has no "
                       "precise-prefix-cache-producer\n"
                     : "");
  }
}

TEST(BuildGeneration, AnUnknownPolicyNamesTheChoices) {
  config::Problems problems;
  EXPECT_EQ(build_generation("{}", "defaults", "fairled", problems), nullptr);
  const std::string text = problems.to_string();
  EXPECT_NE(text.find("fairled"), std::string::npos) << text;
  EXPECT_NE(text.find("fairlead, fairlead-exact, least-request"), std::string::npos) << text;
}

TEST(BuildGeneration, APolicyNamedInTheFileListensAsOneNamedByTheFlag) {
  config::Problems problems;
  const auto by_file = build_generation("policy: fairlead-exact", "serve.yaml", "", problems);
  const auto by_flag = build_generation("{}", "serve.yaml", "fairlead-exact", problems);
  ASSERT_TRUE(by_file && by_flag) << problems.to_string();
  ASSERT_TRUE(by_file->picker.events);
  EXPECT_EQ(by_file->picker.events, by_flag->picker.events);
}

TEST(BuildGeneration, EveryProblemIsReportedAtOnce) {
  config::Problems problems;
  const auto generation = build_generation(R"(
gateway: {workers: 0}
limits: {bodyBytez: 7}
plugins:
  - type: no-such-plugin
)",
                                           "serve.yaml", "", problems);
  EXPECT_EQ(generation, nullptr);
  const std::string text = problems.to_string();
  EXPECT_NE(text.find("workers"), std::string::npos) << text;
  EXPECT_NE(text.find("bodyBytez"), std::string::npos) << text;
  EXPECT_NE(text.find("no-such-plugin"), std::string::npos) << text;
}

struct Planned {
  std::optional<EppPlan> plan;
  std::string problems;
};

Planned plan_epp(std::string_view yaml, std::vector<std::string_view> words = {}) {
  config::Problems problems;
  words.insert(words.begin(), "--pool-name=p");
  const auto names = config::epp_flag_names();
  const auto flags = config::parse_go_flags(words, names, problems);
  Planned planned{build_epp(yaml, "f", flags, {}, problems), {}};
  planned.problems = problems.to_string();
  return planned;
}

constexpr std::string_view kFleet = "fleet: {endpoints: [{address: '127.0.0.1:1'}]}\n";

TEST(BuildEpp, FlagsAndTheKeyEppReachTheSettings) {
  const Planned planned = plan_epp(std::string(kFleet) +
                                       "epp: {workers: 2, requestBytesMax: 1Mi}\n"
                                       "log: {level: error}\n",
                                   {"--refresh-metrics-interval=80ms", "-v=4"});
  ASSERT_TRUE(planned.plan.has_value()) << planned.problems;
  const config::ServeSettings& settings = planned.plan->generation->settings;
  EXPECT_EQ(planned.problems, "");
  EXPECT_EQ(planned.plan->generation->policy, "blend");
  EXPECT_EQ(settings.gateway.workers, 2U);
  EXPECT_EQ(settings.limits.body_bytes, 1U << 20);
  EXPECT_EQ(settings.log.level, LogLevel::kDebug);
  EXPECT_EQ(settings.fleet.scrape_interval, std::chrono::milliseconds(80));
  EXPECT_EQ(planned.plan->responses, "full: no plugin needs them, but the metrics of responses do");
}

TEST(BuildEpp, WhatTheGatewayAloneHasIsNotInForce) {
  const Planned plain = plan_epp(kFleet);
  ASSERT_TRUE(plain.plan.has_value()) << plain.problems;
  const Planned planned = plan_epp(
      std::string(kFleet) +
      "gateway: {workers: 9, requestIdHeader: x-mine, streamBatching: 1ms,\n"
      "  tls: {certFile: /none, keyFile: /none}}\n"
      "limits: {connections: 5, headerBytes: 2Ki, clientWrite: 1s, overload: {loopLag: 1s}}\n"
      "access: {keysFile: /none}\n");
  ASSERT_TRUE(planned.plan.has_value()) << planned.problems;
  EXPECT_EQ(planned.plan->generation->settings, plain.plan->generation->settings);
  EXPECT_EQ(planned.problems,
            "f:2: warning: gateway: has no effect: it is for `fairlead serve`\n"
            "f:4: warning: limits: has no effect: it is for `fairlead serve`\n"
            "f:5: warning: access: has no effect: it is for `fairlead serve`\n");
  const Planned large = plan_epp(std::string(kFleet) + "epp: {requestBytesMax: 512Mi}\n");
  ASSERT_TRUE(large.plan.has_value()) << large.problems;
  EXPECT_EQ(large.plan->generation->settings.limits.body_bytes, 512U << 20);
}

TEST(BuildEpp, TheMetricsSourceSaysWhereFiguresAre) {
  const Planned planned =
      plan_epp(std::string(kFleet) +
               "plugins: [{type: queue-scorer}, {type: metrics-data-source, parameters:\n"
               "  {path: /stats, port: 9400}}]\n");
  ASSERT_TRUE(planned.plan.has_value()) << planned.problems;
  EXPECT_EQ(planned.plan->generation->settings.fleet.scrape_path, "/stats");
  EXPECT_EQ(planned.plan->generation->settings.fleet.scrape_port, 9400);
}

TEST(BuildEpp, TracesAndTheAccessLogAreInForce) {
  const std::string text =
      std::string(kFleet) +
      "tracing: {endpoint: 'http://127.0.0.1:2'}\nepp: {accessLog: /a, clientCaFile: /ca}\n";
  const Planned planned = plan_epp(text, {"--cert-path=/c"});
  ASSERT_TRUE(planned.plan.has_value()) << planned.problems;
  EXPECT_EQ(planned.problems, "");
  const config::ServeSettings& settings = planned.plan->generation->settings;
  EXPECT_EQ(settings.tracing.endpoint, "http://127.0.0.1:2");
  EXPECT_EQ(settings.gateway.access_log, "/a");
  EXPECT_EQ(settings.gateway.tls.client_ca_file, "/ca");
  const Planned off = plan_epp(text, {"--tracing=false"});
  ASSERT_TRUE(off.plan.has_value()) << off.problems;
  EXPECT_EQ(off.plan->generation->settings.tracing.endpoint, "");
  EXPECT_EQ(plan_epp(text, {"--secure-serving=false"}).problems,
            "--secure-serving: epp.clientCaFile asks for certificates, which needs TLS\n");
}

TEST(BuildEpp, TheMetricsSourceIsAskedEverySoManyTicks) {
  const auto interval = [](std::string_view of_source, std::string_view tick) {
    const Planned planned =
        plan_epp(fmt::format("{}plugins: [{{type: queue-scorer}}, {{type: metrics-data-source, "
                             "parameters: {{interval: {}}}}}]\n",
                             kFleet, of_source),
                 {"--refresh-metrics-interval", tick});
    EXPECT_TRUE(planned.plan.has_value()) << planned.problems;
    if (!planned.plan) return std::int64_t{0};
    const Duration found = planned.plan->generation->settings.fleet.scrape_interval;
    return std::chrono::duration_cast<std::chrono::milliseconds>(found).count();
  };
  EXPECT_EQ(interval("200ms", "50ms"), 200);
  EXPECT_EQ(interval("220ms", "100ms"), 200);
  EXPECT_EQ(interval("60ms", "100ms"), 60);
  EXPECT_EQ(interval("1ms", "100ms"), 50);
}

TEST(BuildEpp, ResponsesMayPassByOnlyWhereNobodyNeedsThem) {
  const std::string none = std::string(kFleet) + "epp: {responseProcessing: none}\n";
  const Planned fine = plan_epp(none);
  ASSERT_TRUE(fine.plan.has_value()) << fine.problems;
  EXPECT_EQ(fine.plan->responses, "none: no plugin needs them; their metrics stay at zero");
  EXPECT_EQ(plan_epp(none + "policy: fairlead\n").problems,
            "f:2: epp.responseProcessing: none is not possible: externality-cost-scorer reads "
            "inflight_requests, inflight_tokens, unstarted, which only responses bring down\n");
  const Planned checked =
      plan_epp(none +
               "plugins: [{type: queue-scorer}, {type: request-attribute-reporter, parameters:\n"
               "  {attributes: [{key: {name: cost}, expression: usage.total_tokens}]}}]\n");
  EXPECT_EQ(checked.problems,
            "f:2: epp.responseProcessing: none is not possible: request-attribute-reporter works "
            "on responses\n");
  EXPECT_EQ(
      plan_epp(none + "plugins: [{type: queue-scorer}, {type: concurrency-detector}]\n"
                      "flowControl: {saturationDetector: {pluginRef: concurrency-detector}}\n")
          .problems,
      "f:2: epp.responseProcessing: none is not possible: concurrency-detector reads "
      "inflight_requests, inflight_tokens, which only responses bring down\n");
}

TEST(BuildEpp, WhoWouldLetRequestsWaitIsToldThatNobodyDoes) {
  const Planned planned = plan_epp(std::string(kFleet) + "plugins: [{type: kv-room-admitter}]\n");
  EXPECT_TRUE(planned.plan.has_value());
  EXPECT_NE(planned.problems.find("plugins[0].type: has no effect: behind Envoy no request waits"),
            std::string::npos)
      << planned.problems;
}

TEST(BuildEpp, EndpointsComeFromOnePlace) {
  EXPECT_NE(plan_epp("{}").problems.find("--pool-name: not supported yet: finding"),
            std::string::npos);
  constexpr std::string_view kDiscovery =
      "plugins: [{type: queue-scorer}, {type: file-discovery, parameters: {path: e.yaml}}]\n"
      "dataLayer: {discovery: {pluginRef: file-discovery}}\n";
  const Planned discovered = plan_epp(kDiscovery);
  ASSERT_TRUE(discovered.plan.has_value()) << discovered.problems;
  EXPECT_EQ(discovered.plan->generation->picker.discovery->path, "e.yaml");
  EXPECT_EQ(plan_epp(std::string(kDiscovery) + std::string(kFleet)).problems,
            "f:3: fleet: gives endpoints, and dataLayer.discovery does too; keep one of them\n");
}

TEST(BuildEpp, ExperimentalTypesWantTheirFlag) {
  const std::string sticky = std::string(kFleet) + "plugins: [{type: session-affinity-scorer}]\n";
  EXPECT_FALSE(plan_epp(sticky).plan.has_value());
  EXPECT_TRUE(plan_epp(sticky, {"--allow-experimental-plugins"}).plan.has_value());
}

}  // namespace
}  // namespace fairlead::router
