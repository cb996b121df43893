// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/policy_config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "base/random.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/known_types.h"

namespace fairlead::scheduling {
namespace {

constexpr Columns kAll = kAllColumns;

struct Outcome {
  BuiltPolicy policy;
  std::string problems;
};

Outcome build(std::string_view text, Columns filled = kAll,
              const Registry& registry = builtin_registry()) {
  config::Problems problems;
  config::Section root = config::Section::parse(text, "f", problems);
  Outcome outcome{build_policy(root, registry, {filled}, problems), {}};
  root.finish();
  outcome.problems = problems.to_string();
  return outcome;
}

std::string problems_of(std::string_view text) { return build(text).problems; }

TEST(ShippedPolicies, EachBuildsWithoutARemark) {
  EXPECT_EQ(shipped_policy_names(),
            (std::vector<std::string_view>{"blend", "blend-spread", "fairlead", "fairlead-exact",
                                           "least-request", "random", "round-robin", "sticky"}));
  for (const ShippedPolicy& policy : shipped_policies()) {
    const Outcome by_name = build(fmt::format("policy: {}\n", policy.name));
    EXPECT_EQ(by_name.problems, "") << policy.name;
    ASSERT_NE(by_name.policy.profile, nullptr) << policy.name;
    EXPECT_EQ(by_name.policy.name, policy.name);
    // A copy of the file is a configuration of its own.
    const Outcome as_text = build(policy.yaml);
    EXPECT_EQ(as_text.problems, "") << policy.name;
    EXPECT_EQ(as_text.policy.name, "custom");
    EXPECT_TRUE(policy.yaml.starts_with(fmt::format("# {}: ", policy.name)));
  }
}

TEST(ShippedPolicies, ThoseOfPeersBuildByNameAndSayWhenceTheyAre) {
  EXPECT_EQ(peer_policy_names(),
            (std::vector<std::string_view>{"blend-1-1-1", "blend-3-5-2", "chwbl", "dynamo",
                                           "greedy", "lmetric", "lmetric-own", "max-affinity",
                                           "power-of-two", "preble", "sglang-cache-aware"}));
  for (const ShippedPolicy& policy : peer_policies()) {
    const Outcome by_name = build(fmt::format("policy: {}\n", policy.name));
    EXPECT_EQ(by_name.problems, "") << policy.name;
    ASSERT_NE(by_name.policy.profile, nullptr) << policy.name;
    EXPECT_EQ(build(policy.yaml).problems, "") << policy.name;
    EXPECT_TRUE(policy.yaml.starts_with(fmt::format("# {}: ", policy.name)));
    EXPECT_NE(policy.yaml.find("\n# Source: "), std::string_view::npos) << policy.name;
    const auto names = shipped_policy_names();
    EXPECT_EQ(std::ranges::count(names, policy.name), 0) << policy.name;
  }
}

TEST(PolicyConfig, AProfileThatOnlyDrawsLotsIsRemarkedOn) {
  const std::string warning =
      "no scorer: every endpoint has the same chance; write random-picker if you want that\n";
  EXPECT_EQ(problems_of("schedulingProfiles: []\n"),
            "f:1: warning: schedulingProfiles: " + warning);
  EXPECT_EQ(problems_of("plugins: [{type: max-score-picker, name: mine}]\n"),
            "f:1: warning: plugins: " + warning);
  EXPECT_EQ(problems_of("plugins: [{type: random-picker}]\n"), "");
  EXPECT_EQ(problems_of("gateway: {}\n").find("no scorer"), std::string::npos);
}

TEST(PolicyConfig, APolicyThatIsNoTextIsOneProblem) {
  EXPECT_EQ(problems_of("policy: [a]\n"), "f:1: policy: expected text, found a list\n");
  EXPECT_NE(problems_of("policy: ''\n").find("unknown policy"), std::string::npos);
}

TEST(ShippedPolicies, AreMadeOfThePluginsTheyPromise) {
  const auto outline = [](std::string_view name) {
    const Outcome outcome = build(fmt::format("policy: {}\n", name));
    std::string out;
    for (const auto& filter : outcome.policy.profile->filters) out += filter.name + " ";
    for (const auto& scorer : outcome.policy.profile->scorers) {
      out += fmt::format("{}*{} ", scorer.name, scorer.weight);
    }
    return out + outcome.policy.profile->picker_name;
  };
  EXPECT_EQ(outline("random"), "random-picker");
  EXPECT_EQ(outline("round-robin"), "round-robin-picker");
  EXPECT_EQ(outline("least-request"), "active-request-scorer*1 max-score-picker");
  EXPECT_EQ(outline("blend"),
            "prefix-cache-scorer*3 queue-scorer*2 kv-cache-utilization-scorer*2 max-score-picker");
  EXPECT_EQ(outline("blend-spread"),
            "prefix-cache-scorer*3 queue-scorer*2 kv-cache-utilization-scorer*2 "
            "no-hit-lru-scorer*2 max-score-picker");
  EXPECT_EQ(outline("sticky"), "prefix-cache-affinity-filter token-load-scorer*1 max-score-picker");
  EXPECT_EQ(outline("fairlead"),
            "externality-cost-scorer*1 cold-placement-cost-scorer*1 max-score-picker");
}

TEST(PolicyConfig, WithoutAnyWordThePolicyIsFairlead) {
  const Outcome outcome = build("");
  EXPECT_EQ(outcome.problems, "");
  EXPECT_EQ(outcome.policy.name, kDefaultPolicy);
  ASSERT_NE(outcome.policy.profile, nullptr);
  EXPECT_EQ(outcome.policy.profile->kind, ScoreKind::kTokens);
  EXPECT_TRUE(outcome.policy.profile->reads.has(Column::kColdOrder));
}

TEST(PolicyConfig, ReadsAWholeDocument) {
  const Outcome outcome = build(R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl=false, haPopulateNonLeaderDatastore]
plugins:
- {type: token-producer}
- {type: approx-prefix-cache-producer, name: prefixes, parameters: {autoTune: true}}
- {type: inflight-load-producer, parameters: {addEstimatedOutputTokens: false}}
- {type: metrics-data-source, parameters: {scheme: http, path: /metrics}}
- {type: core-metrics-extractor}
- {type: single-profile-handler}
- {type: openai-parser}
- {type: decode-filter}
- type: prefix-cache-scorer
  name: prefix
  parameters: {prefixMatchInfoProducerName: prefixes}
- {type: queue-scorer}
- {type: weighted-random-picker}
schedulingProfiles:
- name: main
  plugins:
  - pluginRef: decode-filter
  - {pluginRef: prefix, weight: 2.5}
  - pluginRef: queue-scorer
  - pluginRef: weighted-random-picker
dataLayer:
  injectDefaults: false
  sources: [{pluginRef: metrics-data-source, extractors: [{pluginRef: core-metrics-extractor}]}]
requestHandler: {parsers: [{pluginRef: openai-parser}]}
flowControl: {}
)");
  EXPECT_EQ(outcome.problems, "");
  ASSERT_NE(outcome.policy.profile, nullptr);
  const Profile& profile = *outcome.policy.profile;
  EXPECT_EQ(profile.name, "main");
  EXPECT_EQ(profile.kind, ScoreKind::kUnit);
  ASSERT_EQ(profile.filters.size(), 1U);
  ASSERT_EQ(profile.scorers.size(), 2U);
  EXPECT_EQ(profile.scorers[0].name, "prefix");
  EXPECT_EQ(profile.scorers[0].weight, 2.5F);
  EXPECT_EQ(profile.scorers[1].weight, 1.0F);
  EXPECT_EQ(profile.picker_name, "weighted-random-picker");
  EXPECT_NE(profile.picker, nullptr);
  EXPECT_TRUE(profile.reads.has(Column::kLabels));
  EXPECT_TRUE(profile.reads.has(Column::kWaiting));
  EXPECT_FALSE(profile.reads.has(Column::kKvUsage));
}

TEST(PolicyConfig, WithoutProfilesAllPluginsMakeOneInDeclaredOrder) {
  const Outcome outcome = build(
      "plugins: [{type: queue-scorer}, {type: decode-filter}, {type: openai-parser},\n"
      "  {type: prefix-cache-scorer}, {type: prefill-filter}]\n");
  EXPECT_EQ(outcome.problems, "");
  const Profile& profile = *outcome.policy.profile;
  EXPECT_EQ(profile.name, "default");
  EXPECT_EQ(profile.filters[0].name, "decode-filter");
  EXPECT_EQ(profile.filters[1].name, "prefill-filter");
  EXPECT_EQ(profile.scorers[0].name, "queue-scorer");
  EXPECT_EQ(profile.scorers[1].name, "prefix-cache-scorer");
  EXPECT_EQ(profile.picker_name, "max-score-picker");
}

TEST(PolicyConfig, AProfileWithoutPickerTakesTheDeclaredOne) {
  const Outcome outcome = build(
      "plugins: [{type: queue-scorer}, {type: random-picker}]\n"
      "schedulingProfiles: [{name: p, plugins: [{pluginRef: queue-scorer}]}]\n");
  EXPECT_EQ(outcome.problems, "");
  EXPECT_EQ(outcome.policy.profile->picker_name, "random-picker");
}

TEST(PolicyConfig, EnvelopeErrors) {
  EXPECT_EQ(problems_of("apiVersion: inference.networking.x-k8s.io/v1alpha1\n"),
            "f:1: warning: apiVersion: deprecated; write llm-d.ai/v1alpha1\n");
  EXPECT_EQ(problems_of("apiVersion: v1\nkind: Pod\nplugin: []\n"),
            "f:1: apiVersion: unknown version \"v1\"; write llm-d.ai/v1alpha1\n"
            "f:2: kind: unknown kind \"Pod\"; write EndpointPickerConfig\n"
            "f:3: plugin: unknown key; did you mean \"plugins\"?\n");
  EXPECT_EQ(problems_of("policy: blnd\n"),
            "f:1: policy: unknown policy \"blnd\"; did you mean \"blend\"?; there are blend, "
            "blend-spread, fairlead, fairlead-exact, least-request, random, round-robin, sticky, "
            "blend-1-1-1, blend-3-5-2, chwbl, dynamo, greedy, lmetric, lmetric-own, max-affinity, "
            "power-of-two, preble, sglang-cache-aware\n");
  EXPECT_EQ(problems_of("policy: blend\nplugins: [{type: queue-scorer}]\n"),
            "f:1: policy: names a shipped policy, but plugins are given too; remove one of "
            "them\n");
}

TEST(PolicyConfig, FeatureGateErrors) {
  EXPECT_EQ(problems_of("featureGates:\n- flowControl\n- flowControl=maybe\n- flowcontrol=true\n"
                        "- haPopulateNonLeaderDatastore=false\n"),
            "f:1: featureGates: not supported yet: flowControl; requests are not queued\n"
            "f:1: featureGates: \"flowControl=maybe\" must be =true or =false\n"
            "f:1: featureGates: unknown gate \"flowcontrol\"; did you mean \"flowControl\"?\n"
            "f:1: warning: featureGates: haPopulateNonLeaderDatastore=false has no effect: there "
            "is no leader\n");
}

TEST(PolicyConfig, PluginErrorsAreAllReportedAtTheirPlace) {
  const Outcome outcome = build(
      "plugins:\n"
      "- name: nameless\n"
      "- type: slo-headroom-tier-filter\n"
      "- type: queue-scorrer\n"
      "- type: queue-scorer\n"
      "  parameters: {a: 1}\n"
      "- type: queue-scorer\n"
      "- {type: kv-cache-utilization-scorer,\n"
      "   name: queue-scorer}\n"
      "- type: prefix-cache-scorer\n"
      "  parameters:\n"
      "    matchLengthWeight: 2\n"
      "    prefixMatchInfoProducerName: nobody\n"
      "  weight: 3\n"
      "- type: latency-scorer\n"
      "- type: load-aware-scorer\n"
      "  parameters: 3\n");
  EXPECT_EQ(outcome.policy.profile, nullptr);
  EXPECT_EQ(outcome.problems,
            "f:2: plugins[0]: \"type\" is missing\n"
            "f:3: plugins[1].type: not supported yet: slo-headroom-tier-filter, a part of latency "
            "prediction\n"
            "f:4: plugins[2].type: unknown plugin type \"queue-scorrer\"; did you mean "
            "\"queue-scorer\"?\n"
            "f:6: plugins[3].parameters.a: unknown key\n"
            "f:7: plugins[4].type: a second plugin with the name \"queue-scorer\"\n"
            "f:9: plugins[5].name: a second plugin with the name \"queue-scorer\"\n"
            "f:12: plugins[6].parameters.matchLengthWeight: must be from 0 to 1, is 2\n"
            "f:13: plugins[6].parameters.prefixMatchInfoProducerName: \"nobody\" is no declared "
            "data producer\n"
            "f:14: plugins[6].weight: unknown key; known here: name, parameters, type\n"
            "f:15: plugins[7].type: not supported yet: latency-scorer, a part of latency "
            "prediction\n"
            "f:17: plugins[8].parameters: expected a mapping, found \"3\"\n");
}

TEST(PolicyConfig, BuiltInTypesTakeTheirParametersOrSayWhyNot) {
  EXPECT_EQ(
      problems_of("plugins:\n"
                  "- type: approx-prefix-cache-producer\n"
                  "  parameters:\n"
                  "    autoTune: true\n"
                  "    blockSizeTokens: 64\n"
                  "    blocks: 1\n"
                  "- type: metrics-data-source\n"
                  "  parameters: {scheme: https,\n"
                  "    path: stats, port: 9400}\n"
                  "- type: core-metrics-extractor\n"
                  "  parameters: {engineConfigs: [{name: sglang}], defaultEngine: tgi}\n"),
      "f:5: warning: plugins[0].parameters.blockSizeTokens: has no effect: prefix history is "
      "always kept; its block and size are set under prefix:\n"
      "f:6: plugins[0].parameters.blocks: unknown key; known here: autoTune, blockSize, "
      "blockSizeTokens, lruCapacityPerServer, maxPrefixBlocksToMatch, maxPrefixTokensToMatch\n"
      "f:8: plugins[1].parameters.scheme: not supported yet, other than http: endpoints are "
      "scraped over HTTP as they are reached\n"
      "f:9: plugins[1].parameters.path: begins with a slash\n"
      "f:11: plugins[2].parameters.defaultEngine: \"tgi\" is none of the engines that are known "
      "here: vllm, sglang, trtllm-serve, triton-tensorrt-llm, triton\n"
      "f:11: plugins[2].parameters.engineConfigs: not supported yet: the metric names of vLLM, "
      "SGLang, TensorRT-LLM and Triton are read\n");
}

TEST(PolicyConfig, ProfileErrorsAreAllReportedAtTheirPlace) {
  EXPECT_EQ(problems_of("plugins:\n"
                        "- type: queue-scorer\n"
                        "- type: externality-cost-scorer\n"
                        "- type: decode-filter\n"
                        "- type: random-picker\n"
                        "- type: max-score-picker\n"
                        "- type: openai-parser\n"
                        "- type: slo-headroom-tier-filter\n"
                        "schedulingProfiles:\n"
                        "- plugins:\n"
                        "  - pluginRef: queue-scorer\n"
                        "    weight: -1\n"
                        "  - pluginRef: queue-scorer\n"
                        "  - pluginRef: externality-cost-scorer\n"
                        "  - {pluginRef: decode-filter, weight: 2}\n"
                        "  - pluginRef: random-picker\n"
                        "  - pluginRef: max-score-picker\n"
                        "  - pluginRef: openai-parser\n"
                        "  - pluginRef: slo-headroom-tier-filter\n"
                        "  - pluginRef: queue-scorers\n"
                        "  - weight: 1\n"
                        "  - {pluginRef: queue-scorer,\n"
                        "     wait: 1}\n"),
            "f:8: plugins[6].type: not supported yet: slo-headroom-tier-filter, a part of latency "
            "prediction\n"
            "f:10: schedulingProfiles[0]: \"name\" is missing\n"
            "f:12: schedulingProfiles[0].plugins[0].weight: must be from 0 to 1000000, is -1\n"
            "f:13: schedulingProfiles[0].plugins[1].pluginRef: \"queue-scorer\" is in the profile "
            "already\n"
            "f:14: schedulingProfiles[0].plugins[2].pluginRef: \"externality-cost-scorer\" gives a "
            "cost in tokens, but \"queue-scorer\" gives a score in [0, 1]; one profile adds up one "
            "kind only\n"
            "f:15: warning: schedulingProfiles[0].plugins[3].weight: has no effect: "
            "\"decode-filter\" is not a scorer\n"
            "f:17: schedulingProfiles[0].plugins[5].pluginRef: a second picker, "
            "\"max-score-picker\"; the profile has \"random-picker\"\n"
            "f:18: schedulingProfiles[0].plugins[6].pluginRef: \"openai-parser\" is a parser; a "
            "profile has filters, scorers and a picker\n"
            "f:20: schedulingProfiles[0].plugins[8].pluginRef: no plugin is named "
            "\"queue-scorers\"; did you mean \"queue-scorer\"?\n"
            "f:21: schedulingProfiles[0].plugins[9]: \"pluginRef\" is missing\n"
            "f:22: schedulingProfiles[0].plugins[10].pluginRef: \"queue-scorer\" is in the profile "
            "already\n"
            "f:23: schedulingProfiles[0].plugins[10].wait: unknown key; known here: pluginRef, "
            "weight\n");
}

TEST(PolicyConfig, OneProfileOnly) {
  EXPECT_EQ(problems_of("plugins: [{type: queue-scorer}]\n"
                        "schedulingProfiles:\n"
                        "- {name: a, plugins: [{pluginRef: queue-scorer}]}\n"
                        "- {name: b, plugins: [{pluginRef: queue-scorer}]}\n"
                        "- {name: a}\n"),
            "f:4: schedulingProfiles[1].name: not supported yet: a second profile; one decides "
            "every request\n"
            "f:5: schedulingProfiles[2].name: a second profile with the name \"a\"\n");
}

TEST(PolicyConfig, APluginInNoProfileIsRemarkedOn) {
  const Outcome outcome = build(
      "plugins: [{type: queue-scorer},\n  {type: decode-filter}]\n"
      "schedulingProfiles: [{name: p, plugins: [{pluginRef: queue-scorer}]}]\n");
  EXPECT_EQ(outcome.problems, "f:2: warning: plugins[1]: \"decode-filter\" is in no profile\n");
  EXPECT_NE(outcome.policy.profile, nullptr);
}

TEST(PolicyConfig, AColumnNobodyFillsNamesPluginAndColumn) {
  const Outcome outcome = build(
      "plugins:\n- type: queue-scorer\n- type: prefix-cache-scorer\n"
      "- {name: kv, type: kv-cache-utilization-scorer}\n",
      Columns{Column::kWaiting});
  EXPECT_EQ(outcome.problems,
            "f:3: plugins[1].type: \"prefix-cache-scorer\" reads cached_tokens, which nothing "
            "here measures\n"
            "f:4: plugins[2].type: \"kv\" reads kv_usage, which nothing here measures\n");
  EXPECT_EQ(outcome.policy.profile, nullptr);
  EXPECT_EQ(build("policy: least-request\n", Columns{}).problems,
            "policy least-request:12: schedulingProfiles[0].plugins[0].pluginRef: "
            "\"active-request-scorer\" reads inflight_requests, which nothing here measures\n");
}

TEST(PolicyConfig, UnsupportedPartsAreRefusedByName) {
  EXPECT_EQ(problems_of("policy: random\n"
                        "flowControl:\n"
                        "  maxBytes: 4Gi\n"
                        "  priorityBands: [{priority: 1}]\n"
                        "saturationDetector:\n"
                        "  pluginRef: utilization-detector\n"
                        "dataLayer:\n"
                        "  injectDefaults: false\n"
                        "  discovery: {pluginRef: file-discovery}\n"
                        "  sources:\n"
                        "  - pluginRef: dcgm-data-source\n"
                        "    extractors: [{pluginRef: openai-parser}]\n"
                        "requestHandler:\n"
                        "  parsers:\n"
                        "  - pluginRef: openai-parser\n"
                        "  - pluginRef: anthropic-parser\n"
                        "  - pluginRef: my-parser\n"
                        "parser:\n"
                        "  pluginRef: passthrough-parser\n"),
            "f:3: flowControl.maxBytes: not supported yet: flow control; remove it\n"
            "f:4: flowControl.priorityBands: not supported yet: flow control; remove it\n"
            "f:5: warning: saturationDetector: deprecated; write flowControl.saturationDetector\n"
            "f:5: warning: saturationDetector: has no effect: the gateway knows no priorities that "
            "might be shed\n"
            "f:8: warning: dataLayer.injectDefaults: has no effect: engines are scraped all the "
            "same\n"
            "f:9: dataLayer.discovery.pluginRef: \"file-discovery\" has to be declared under "
            "plugins, with its path\n"
            "f:9: dataLayer.discovery: not supported here: endpoints come from fleet:\n"
            "f:11: dataLayer.sources[0].pluginRef: not supported yet: dcgm-data-source, a part of "
            "llm-d's experimental types\n"
            "f:12: dataLayer.sources[0].extractors[0].pluginRef: \"openai-parser\" is no "
            "extractor\n"
            "f:16: warning: requestHandler.parsers[1].pluginRef: has no effect: the gateway's "
            "routes are fixed\n"
            "f:17: requestHandler.parsers[2].pluginRef: no plugin is named \"my-parser\"\n"
            "f:18: warning: parser: has no effect beside requestHandler.parsers\n");
}

TEST(PolicyConfig, ARegistryWithoutTheDefaultPickerIsTold) {
  Registry registry;
  const auto broken = +[](config::Section&) { return std::unique_ptr<Filter>(); };
  ASSERT_TRUE(registry.add(FilterSpec{"broken-filter", Stability::kAlpha, {}, broken}));
  EXPECT_EQ(build("plugins:\n- type: broken-filter\n", kAll, registry).problems,
            "f:1: has no picker, and there is no max-score-picker to fall back on\n"
            "f:2: plugins[0].parameters: broken-filter cannot be made of these\n");
}

// Source: the registry of llm-d-router v0.10.
constexpr std::string_view kTypesOfLlmd =
    "label-selector-filter by-label-selector by-label encode-filter decode-filter prefill-filter "
    "session-affinity-filter multicluster-session-affinity-filter endpoint-attribute-filter "
    "topology-affinity-filter utilization-filter prefix-cache-affinity-filter "
    "slo-headroom-tier-filter header-based-testing-filter queue-scorer "
    "running-requests-size-scorer "
    "kv-cache-utilization-scorer lora-affinity-scorer prefix-cache-scorer "
    "precise-prefix-cache-scorer load-aware-scorer active-request-scorer token-load-scorer "
    "no-hit-lru-scorer context-length-aware session-affinity-scorer header-label-affinity-scorer "
    "endpoint-attribute-scorer topology-affinity-scorer mm-embeddings-cache-scorer latency-scorer "
    "multicluster-queue-scorer multicluster-kv-cache-utilization-scorer "
    "multicluster-prefix-cache-scorer max-score-picker random-picker weighted-random-picker "
    "single-profile-handler data-parallel-profile-handler header-profile-handler "
    "disagg-profile-handler pd-profile-handler disagg-headers-handler prefill-header-handler "
    "prefix-based-pd-decider always-disagg-pd-decider always-disagg-multimodal-decider "
    "disaggregatedset-rollout-screener latency-slo-admitter probabilistic-admitter agent-identity "
    "request-attribute-reporter destination-endpoint-served-verifier token-producer tokenizer "
    "approx-prefix-cache-producer multicluster-approx-prefix-cache-producer "
    "precise-prefix-cache-producer burst-prefix-cache-producer p2p-source-producer "
    "inflight-load-producer session-id-producer mm-embeddings-cache-producer "
    "predicted-latency-producer global-strict-fairness-policy round-robin-fairness-policy "
    "program-aware-fairness fcfs-ordering-policy edf-ordering-policy slo-deadline-ordering-policy "
    "static-usage-limit-policy priority-holdback-policy soft-reflective-ceiling-policy "
    "utilization-detector concurrency-detector sheddable-eviction-filter "
    "priority-then-time-eviction-order-policy metrics-data-source core-metrics-extractor "
    "models-data-source models-data-extractor dcgm-data-source dcgm-extractor topology-extractor "
    "k8s-notification-source endpoint-notification-source multicluster-metrics-data-source "
    "multicluster-metrics-extractor file-discovery multicluster-file-discovery openai-parser "
    "anthropic-parser vllmhttp-parser sglanghttp-parser vllmgrpc-parser vertexai-parser "
    "passthrough-parser";

TEST(KnownTypes, EachOfLlmdIsBuiltOrRefusedByItsCapability) {
  const Registry registry = builtin_registry();
  std::istringstream types{std::string(kTypesOfLlmd)};
  for (std::string type; types >> type;) {
    const bool is_plugin = registry.filter(type) != nullptr || registry.scorer(type) != nullptr ||
                           registry.picker(type) != nullptr || registry.admitter(type) != nullptr ||
                           registry.reporter(type) != nullptr;
    const bool is_built =
        is_plugin || built_in_type(type) != nullptr ||
        (deprecated_type(type) != nullptr && !deprecated_type(type)->stands_for.empty());
    EXPECT_NE(is_built, missing_type(type) != nullptr) << type;
  }
  EXPECT_EQ(built_in_type("queue-scorer"), nullptr);
}

TEST(PolicyConfig, DamagedDocumentsNeverCrash) {
  constexpr std::string_view kBytes = "{}[]:,-?&*!|>'\"%@`#\n\t ~a0\\.";
  std::string whole = "featureGates: [flowControl=false]\nparser: {pluginRef: openai-parser}\n";
  whole += shipped_policy("sticky");
  const Registry registry = builtin_registry();
  Random random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string text = whole;
    for (std::uint64_t edits = 1 + random.below(5); edits > 0; --edits) {
      const std::size_t at = random.below(text.size());
      if (random.below(2) == 0) {
        text[at] = kBytes[random.below(kBytes.size())];
      } else {
        text.erase(at, 1 + random.below(30));
      }
    }
    const Outcome outcome = build(text, kAll, registry);
    if (outcome.policy.profile) {
      EXPECT_NE(outcome.policy.profile->picker, nullptr) << text;
    }
  }
}

}  // namespace
}  // namespace fairlead::scheduling
