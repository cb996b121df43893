// SPDX-License-Identifier: Apache-2.0
// The configurations that a drop-in for llm-d's endpoint picker meets: those that start, those that
// need a capability this program does not have, with the exact refusal, and those that must fail.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/random.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"

namespace fairlead::scheduling {
namespace {

struct Loaded {
  BuiltPolicy policy;
  std::string problems;
};

Loaded load(std::string_view text, Experimental experimental = Experimental::kRefused) {
  const Registry registry = builtin_registry();
  config::Problems problems;
  config::Section root = config::Section::parse(text, "f", problems);
  Loaded loaded{build_policy(root, registry, {kAllColumns, Front::kEnvoy, experimental}, problems),
                {}};
  root.finish();
  loaded.problems = problems.to_string();
  if (problems.has_errors()) loaded.policy.profile.reset();
  return loaded;
}

std::string testdata(std::string_view name) {
  std::ifstream file(
      fmt::format("{}/src/core/scheduling/testdata/appendix_a/{}.yaml", FAIRLEAD_SOURCE_DIR, name));
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name;
  return text.str();
}

std::string outline(const Profile& profile) {
  std::string out;
  for (const auto& filter : profile.filters) out += filter.name + " ";
  for (const auto& scorer : profile.scorers) {
    out += fmt::format("{}*{} ", scorer.name, scorer.weight);
  }
  return out + profile.picker_name;
}

// Expects that the text fails with exactly these problems.
void fails(std::string_view text, std::string_view problems) {
  const Loaded loaded = load(text);
  EXPECT_EQ(loaded.problems, problems) << text;
  EXPECT_EQ(loaded.policy.profile, nullptr) << text;
}

TEST(AppendixA, NothingIsTheBuiltInDefault) {
  for (const std::string_view text : {"", "{}", "# nothing\n", "apiVersion: llm-d.ai/v1alpha1\n"}) {
    const Loaded loaded = load(text);
    EXPECT_EQ(loaded.problems, "") << text;
    ASSERT_NE(loaded.policy.profile, nullptr) << text;
    EXPECT_EQ(outline(*loaded.policy.profile),
              "prefix-cache-scorer*3 queue-scorer*2 kv-cache-utilization-scorer*2 "
              "max-score-picker");
    const PickerConfig& picker = loaded.policy.picker;
    EXPECT_EQ(picker.detector, "utilization-detector");
    ASSERT_EQ(loaded.policy.profile->admitters.size(), 1U);
    EXPECT_EQ(loaded.policy.profile->admitters[0].name, "utilization-detector");
    ASSERT_EQ(picker.sources.size(), 1U);
    EXPECT_EQ(picker.sources[0].type, "metrics-data-source");
    EXPECT_EQ(picker.sources[0].extractors, std::vector<std::string>{"core-metrics-extractor"});
    EXPECT_EQ(picker.parsers.back(), ParserKind::kPassthrough);
    EXPECT_EQ(picker.parsers.size(), 4U);
    EXPECT_FALSE(response_need(picker).has_value());
  }
}

TEST(AppendixA, MinimalFormsStart) {
  const Loaded scorer = load(testdata("a2_one_scorer"));
  EXPECT_EQ(scorer.problems, "");
  ASSERT_NE(scorer.policy.profile, nullptr);
  EXPECT_EQ(outline(*scorer.policy.profile), "queue-scorer*1 max-score-picker");
  EXPECT_EQ(scorer.policy.profile->name, "default");

  const Loaded profile = load(testdata("a2_one_profile"));
  EXPECT_EQ(profile.problems, "");
  ASSERT_NE(profile.policy.profile, nullptr);
  EXPECT_EQ(outline(*profile.policy.profile),
            "decode-filter prefix*2 queue-scorer*1 max-score-picker");
}

TEST(AppendixA, DeprecatedFormsStartAndNameTheirReplacement) {
  const Loaded loaded = load(testdata("a2_deprecated"));
  EXPECT_EQ(loaded.problems,
            "f:1: warning: apiVersion: deprecated; write llm-d.ai/v1alpha1\n"
            "f:4: warning: plugins[0].type: deprecated; write token-producer\n"
            "f:5: warning: plugins[0].parameters.vllm.url: has no effect: tokens are made by "
            "tokens.models, or estimated as bytes / 4\n"
            "f:6: warning: plugins[1].type: deprecated; write label-selector-filter\n"
            "f:7: warning: plugins[2].type: deprecated; write precise-prefix-cache-producer and "
            "prefix-cache-scorer\n"
            "f:11: warning: saturationDetector: deprecated; write flowControl.saturationDetector\n"
            "f:12: warning: parser: deprecated; write requestHandler.parsers\n");
  ASSERT_NE(loaded.policy.profile, nullptr);
  EXPECT_TRUE(loaded.policy.profile->reads.has(Column::kCachedTokens));
  EXPECT_EQ(loaded.policy.picker.parsers, std::vector{ParserKind::kOpenAi});
  ASSERT_EQ(loaded.policy.profile->admitters.size(), 1U);
  EXPECT_EQ(loaded.policy.profile->admitters[0].name, "utilization-detector");
}

TEST(AppendixA, WhatNeedsALaterCapabilitySaysWhich) {
  fails(testdata("a2_deprecated_stages"),
        "f:2: plugins[0].type: not supported yet: pd-profile-handler, a part of prefill/decode "
        "disaggregation\n"
        "f:3: plugins[1].type: not supported yet: prefill-header-handler, a part of "
        "prefill/decode disaggregation\n"
        "f:8: schedulingProfiles[1].name: not supported yet: a second profile; one decides every "
        "request\n");
  fails(testdata("a2_coordinator"),
        "f:2: plugins[0].type: not supported yet: header-profile-handler, a part of "
        "prefill/decode disaggregation\n"
        "f:6: schedulingProfiles[1].name: not supported yet: a second profile; one decides every "
        "request\n"
        "f:7: schedulingProfiles[2].name: not supported yet: a second profile; one decides every "
        "request\n");
  const Loaded clusters = load(testdata("a2_clusters"), Experimental::kAllowed);
  EXPECT_EQ(clusters.problems,
            "f:2: plugins[0].type: not supported yet: multicluster-file-discovery, a part of "
            "multicluster routing\n"
            "f:3: plugins[1].type: not supported yet: multicluster-metrics-data-source, a part of "
            "multicluster routing\n"
            "f:4: plugins[2].type: not supported yet: multicluster-metrics-extractor, a part of "
            "multicluster routing\n"
            "f:5: plugins[3].type: not supported yet: multicluster-queue-scorer, a part of "
            "multicluster routing\n"
            "f:6: plugins[4].type: not supported yet: multicluster-kv-cache-utilization-scorer, a "
            "part of multicluster routing\n");
  fails(testdata("a1_precise_disaggregated_queued"),
        "f:3: featureGates: not supported yet: flowControl; requests are not queued\n"
        "f:3: warning: featureGates: haPopulateNonLeaderDatastore=false has no effect: there is no "
        "leader\n"
        "f:6: warning: plugins[0].parameters.vllm.url: has no effect: tokens are made by "
        "tokens.models, or estimated as bytes / 4\n"
        "f:28: plugins[7].type: not supported yet: prefix-based-pd-decider, a part of "
        "prefill/decode disaggregation\n"
        "f:30: plugins[8].type: not supported yet: disagg-profile-handler, a part of "
        "prefill/decode disaggregation\n"
        "f:34: plugins[10].type: not supported yet: round-robin-fairness-policy, a part of flow "
        "control\n"
        "f:35: plugins[11].type: not supported yet: slo-deadline-ordering-policy, a part of flow "
        "control\n"
        "f:42: flowControl.maxBytes: not supported yet: flow control; remove it\n"
        "f:43: flowControl.defaultRequestTTL: not supported yet: flow control; remove it\n"
        "f:44: flowControl.noEndpointRequestTTL: not supported yet: flow control; remove it\n"
        "f:45: flowControl.enableEviction: not supported yet: flow control; remove it\n"
        "f:47: flowControl.usageLimitPolicyPluginRef: not supported yet: flow control; remove it\n"
        "f:48: flowControl.defaultPriorityBand: not supported yet: flow control; remove it\n"
        "f:49: flowControl.defaultNegativePriorityBand: not supported yet: flow control; remove "
        "it\n"
        "f:50: flowControl.priorityBands: not supported yet: flow control; remove it\n"
        "f:57: schedulingProfiles[1].name: not supported yet: a second profile; one decides every "
        "request\n");
}

TEST(AppendixA, APrecisePolicyOfOneStageStarts) {
  const Loaded loaded = load(testdata("precise_prefix"));
  ASSERT_NE(loaded.policy.profile, nullptr) << loaded.problems;
  EXPECT_EQ(outline(*loaded.policy.profile),
            "decode-filter prefix-cache-scorer*2 active-request-scorer*1 max-score-picker");
  const PickerConfig& picker = loaded.policy.picker;
  EXPECT_EQ(picker.detector, "concurrency-detector");
  ASSERT_EQ(loaded.policy.profile->admitters.size(), 1U);
  EXPECT_EQ(loaded.policy.profile->admitters[0].name, "concurrency-detector");
  ASSERT_TRUE(picker.discovery.has_value());
  EXPECT_EQ(picker.discovery->path, "/etc/nodes.yaml");
  EXPECT_TRUE(picker.discovery->watch);
  ASSERT_EQ(picker.sources.size(), 2U);
  EXPECT_EQ(picker.sources[0].extractors, std::vector<std::string>{"ppc"});
  EXPECT_EQ(picker.sources[1].name, "metrics-data-source");
  const auto need = response_need(picker);
  ASSERT_TRUE(need.has_value());
  EXPECT_EQ(need->plugin, "active-request-scorer");
  EXPECT_EQ(need->why, "reads inflight_requests, which only responses bring down");
}

TEST(AppendixA, TheEffectiveConfigurationReadsBackToItself) {
  for (const std::string_view name :
       {"precise_prefix", "a2_one_scorer", "a2_one_profile", "a2_deprecated"}) {
    const Loaded first = load(testdata(name));
    const std::string printed = effective_yaml(first.policy);
    const Loaded second = load(printed);
    ASSERT_NE(second.policy.profile, nullptr) << printed << second.problems;
    EXPECT_EQ(outline(*second.policy.profile), outline(*first.policy.profile));
    EXPECT_EQ(second.policy.picker.detector, first.policy.picker.detector);
    EXPECT_EQ(effective_yaml(second.policy), printed);
  }
  const std::string printed = effective_yaml(load("").policy);
  EXPECT_EQ(load(printed).problems, "") << printed;
  EXPECT_EQ(effective_yaml(load(printed).policy), printed);
}

TEST(AppendixA, TheGraphNamesWhoFeedsWhom) {
  EXPECT_EQ(plugin_graph(load("").policy),
            "source metrics-data-source -> core-metrics-extractor -> waiting, kv_usage, "
            "metrics_age\n"
            "producer approx-prefix-cache-producer -> cached_tokens\n"
            "producer token-producer\n"
            "admitter utilization-detector <- waiting, kv_usage, metrics_age, priority\n"
            "scorer prefix-cache-scorer x 3 <- cached_tokens\n"
            "scorer queue-scorer x 2 <- waiting\n"
            "scorer kv-cache-utilization-scorer x 2 <- kv_usage\n"
            "picker max-score-picker\n"
            "parsers openai-parser, anthropic-parser, vllmhttp-parser, passthrough-parser\n");
}

TEST(AppendixA, UnknownKeysFailAnywhere) {
  fails(
      "plugins: [{type: queue-scorer}]\nflowControl: {}\nscheduling: {}\n",
      "f:3: scheduling: unknown key; known here: apiVersion, dataLayer, featureGates, flowControl, "
      "kind, parser, plugins, policy, requestHandler, saturationDetector, schedulingProfiles\n");
  fails("plugins:\n- {type: queue-scorer, parameters: {a: 1}}\n",
        "f:2: plugins[0].parameters.a: unknown key\n");
  fails(
      "plugins:\n- {type: queue-scorer}\n- {type: token-producer,\n   parameters: {vllm: {url: "
      "x, uri: y}, modelName: m}}\n",
      "f:4: warning: plugins[1].parameters.vllm.url: has no effect: tokens are made by "
      "tokens.models, or estimated as bytes / 4\n"
      "f:4: plugins[1].parameters.vllm.uri: unknown key; did you mean \"url\"?\n");
  fails(
      "plugins:\n- {type: queue-scorer}\ndataLayer:\n  sources:\n  - {pluginRef: "
      "metrics-data-source, extractors: [{pluginRef: core-metrics-extractor, x: 1}]}\n",
      "f:5: dataLayer.sources[0].extractors[0].x: unknown key; known here: pluginRef\n");
  fails(
      "plugins:\n- type: precise-prefix-cache-producer\n  parameters:\n    indexerConfig:\n"
      "      kvCacheBackendConfigs:\n      - {name: gpu, weigth: 1}\n- type: queue-scorer\n",
      "f:6: plugins[0].parameters.indexerConfig.kvCacheBackendConfigs[0].weigth: unknown key; "
      "did you mean \"weight\"?\n");
  fails("plugins: []\nplugins: [{type: queue-scorer}]\n",
        "f:2: the key \"plugins\" is given twice\n");
}

TEST(AppendixA, FormsThatMustFailDo) {
  const std::string two =
      "plugins: [{type: queue-scorer}, {type: random-picker}, {type: "
      "max-score-picker}]\nschedulingProfiles:\n- name: p\n  plugins:\n";
  fails(two +
            "  - {pluginRef: queue-scorer}\n  - {pluginRef: random-picker}\n"
            "  - {pluginRef: max-score-picker}\n",
        "f:7: schedulingProfiles[0].plugins[2].pluginRef: a second picker, \"max-score-picker\"; "
        "the profile has \"random-picker\"\n");
  fails(
      "plugins: [{type: queue-scorer}]\nschedulingProfiles:\n- name: p\n  plugins:\n"
      "  - {pluginRef: queue, weight: 2}\n  - {weight: 2}\n",
      "f:1: warning: plugins[0]: \"queue-scorer\" is in no profile\n"
      "f:5: schedulingProfiles[0].plugins[0].pluginRef: no plugin is named \"queue\"\n"
      "f:6: schedulingProfiles[0].plugins[1]: \"pluginRef\" is missing\n");
  fails("plugins:\n- {type: queue-scorer}\n- type: session-affinity-scorer\n",
        "f:3: plugins[1].type: session-affinity-scorer is experimental; allow it with "
        "--allow-experimental-plugins, or choose another\n");
  EXPECT_EQ(load("plugins: [{type: session-affinity-scorer}]\n", Experimental::kAllowed).problems,
            "");
  fails(
      "plugins:\n- {type: queue-scorer}\n- type: token-producer\n  parameters:\n"
      "    modelName: m\n    vllm: {url: x}\n    estimate: {image: {mode: static}}\n",
      "f:6: plugins[1].parameters.vllm: a second tokenizer beside estimate; give only one\n"
      "f:6: warning: plugins[1].parameters.vllm.url: has no effect: tokens are made by "
      "tokens.models, or estimated as bytes / 4\n"
      "f:7: warning: plugins[1].parameters.estimate.image.mode: has no effect: tokens are made "
      "by tokens.models, or estimated as bytes / 4\n");
  fails("plugins:\n- {type: queue-scorer}\n- {type: token-producer, parameters: {vllm: {}}}\n",
        "f:3: plugins[1].parameters.vllm: needs modelName beside it\n");
  fails("plugins:\n- {type: queue-scorer}\n- type: session-id-producer\n",
        "f:3: plugins[1].parameters: needs headerName or cookieName\n");
  fails(
      "plugins:\n- {type: queue-scorer}\n- {type: session-id-producer,\n"
      "   parameters: {headerName: a, cookieName: b}}\n",
      "f:4: plugins[1].parameters: headerName and cookieName exclude each other\n");
}

TEST(AppendixA, ReferencesAndRangesAreChecked) {
  fails(
      "plugins: [{type: queue-scorer}, {type: single-profile-handler},\n"
      "  {type: single-profile-handler, name: b}]\n",
      "f:2: plugins[2].type: a second profile handler beside \"single-profile-handler\"\n");
  fails(
      "plugins: [{type: queue-scorer}]\nflowControl: {saturationDetector: {pluginRef: "
      "queue-scorer}}\n",
      "f:2: flowControl.saturationDetector.pluginRef: \"queue-scorer\" is no saturation "
      "detector\n");
  fails("plugins: [{type: queue-scorer}]\nsaturationDetector: {}\n",
        "f:2: warning: saturationDetector: deprecated; write flowControl.saturationDetector\n"
        "f:2: saturationDetector: \"pluginRef\" is missing\n");
  fails(
      "plugins: [{type: queue-scorer}]\ndataLayer: {sources: [{pluginRef: models-data-source,\n"
      "  extractors: [{pluginRef: core-metrics-extractor}]}]}\n",
      "f:3: dataLayer.sources[0].extractors[0].pluginRef: \"core-metrics-extractor\" extracts "
      "from metrics-data-source, not from models-data-source\n");
  fails(
      "plugins: [{type: queue-scorer}]\ndataLayer: {discovery: {pluginRef: file-discovery},\n"
      "  crossReplicaSyncerPluginRef: s, peerDiscovery: {pluginRef: p}}\n",
      "f:2: dataLayer.discovery.pluginRef: \"file-discovery\" has to be declared under plugins, "
      "with its path\n"
      "f:3: warning: dataLayer.peerDiscovery: has no effect: pickers do not talk to each "
      "other\n"
      "f:3: dataLayer.crossReplicaSyncerPluginRef: not supported yet: state shared between "
      "replicas; remove it\n");
  fails(
      "plugins: [{type: queue-scorer}, {type: utilization-detector,\n  parameters: "
      "{kvCacheUtilThreshold: 0}}, {type: file-discovery}]\n",
      "f:2: plugins[1].parameters.kvCacheUtilThreshold: must be above 0\n"
      "f:2: plugins[2].parameters: \"path\" is missing\n");
  fails("plugins: [{type: queue-scorer}, {type: vllmgrpc-parser}]\n",
        "f:1: plugins[1].type: not supported yet: vllmgrpc-parser, a part of requests over gRPC\n");
}

TEST(AppendixA, TheParserThatClaimsThePathReadsARequest) {
  using enum ParserKind;
  const std::vector all{kOpenAi, kAnthropic, kVllmHttp, kSglangHttp, kPassthrough};
  EXPECT_EQ(parser_for(all, "/v1/chat/completions"), kOpenAi);
  EXPECT_EQ(parser_for(all, "/tenant/v1/completions/render"), kOpenAi);
  EXPECT_EQ(parser_for(all, "/v1/messages/count_tokens"), kAnthropic);
  EXPECT_EQ(parser_for(all, "/inference/v1/generate"), kVllmHttp);
  EXPECT_EQ(parser_for(all, "/generate/"), kSglangHttp);
  EXPECT_EQ(parser_for(all, "/v1/generate"), kPassthrough);
  EXPECT_EQ(parser_for(all, "/v1/xcompletions"), kPassthrough);
  EXPECT_EQ(parser_for(all, "/v2/rerank"), kOpenAi) << "llm-d has no parser for it";
  EXPECT_EQ(parser_for(std::vector{kOpenAi}, "/v1/messages"), std::nullopt);
  EXPECT_EQ(parser_for({}, "/v1/completions"), std::nullopt);
}

TEST(AppendixA, AParserThatIsNeverAskedIsRemarkedOn) {
  const Loaded loaded = load(
      "requestHandler:\n  parsers:\n  - pluginRef: passthrough-parser\n"
      "  - pluginRef: openai-parser\n");
  EXPECT_EQ(loaded.problems,
            "f:4: warning: requestHandler.parsers[1].pluginRef: is never asked: passthrough-parser "
            "before it takes every path\n");
  EXPECT_EQ(loaded.policy.picker.parsers, std::vector{ParserKind::kPassthrough});
}

TEST(AppendixA, AdmittersAndReportersStandWithoutAProfile) {
  const Loaded loaded = load(
      "plugins:\n- {type: queue-scorer}\n- {type: probabilistic-admitter, name: shed}\n"
      "- type: request-attribute-reporter\n  parameters:\n    attributes:\n"
      "    - {key: {name: cost}, expression: usage.total_tokens}\n"
      "- {type: concurrency-detector, name: spare}\n"
      "schedulingProfiles: [{name: p, plugins: [{pluginRef: queue-scorer}]}]\n");
  ASSERT_NE(loaded.policy.profile, nullptr) << loaded.problems;
  EXPECT_EQ(loaded.problems,
            "f:8: warning: plugins[3]: \"spare\" is in no profile and is not the saturation "
            "detector\n");
  const Profile& profile = *loaded.policy.profile;
  ASSERT_EQ(profile.admitters.size(), 2U);
  EXPECT_EQ(profile.admitters[0].name, "shed");
  EXPECT_EQ(profile.admitters[1].name, "utilization-detector");
  ASSERT_EQ(profile.reporters.size(), 1U);
  EXPECT_TRUE(profile.filters.empty());
  EXPECT_EQ(response_need(loaded.policy.picker)->plugin, "request-attribute-reporter");
}

TEST(AppendixA, TheVerifierNeedsResponses) {
  const Loaded loaded =
      load("plugins: [{type: queue-scorer}, {type: destination-endpoint-served-verifier}]\n");
  EXPECT_EQ(loaded.problems, "");
  ASSERT_NE(loaded.policy.profile, nullptr);
  EXPECT_EQ(response_need(loaded.policy.picker)->why, "works on responses");
}

TEST(AppendixA, AnyListOfParsersIsTakenAsItIs) {
  const Loaded loaded = load(
      "requestHandler:\n  parsers: [{pluginRef: sglanghttp-parser}, {pluginRef: "
      "openai-parser}, {pluginRef: passthrough-parser}]\n");
  EXPECT_EQ(loaded.problems, "");
  EXPECT_EQ(loaded.policy.picker.parsers,
            (std::vector{ParserKind::kSglangHttp, ParserKind::kOpenAi, ParserKind::kPassthrough}));
}

TEST(AppendixA, ADetectorMayStandBesideAShippedPolicy) {
  const Loaded loaded = load(
      "policy: fairlead\nplugins: [{type: concurrency-detector, name: full}]\n"
      "flowControl: {saturationDetector: {pluginRef: full}}\n");
  EXPECT_EQ(loaded.problems, "");
  ASSERT_NE(loaded.policy.profile, nullptr);
  EXPECT_TRUE(loaded.policy.profile->filters.empty());
  EXPECT_EQ(loaded.policy.profile->admitters[0].name, "full");
  EXPECT_EQ(load(effective_yaml(loaded.policy)).problems, "");
}

TEST(AppendixA, WhatIsFilterAndScorerIsPrintedOnce) {
  const Loaded loaded = load(
      "plugins: [{type: decode-filter}, {type: context-length-aware}, {type: encode-filter}]\n");
  ASSERT_NE(loaded.policy.profile, nullptr) << loaded.problems;
  const Loaded again = load(effective_yaml(loaded.policy));
  ASSERT_NE(again.policy.profile, nullptr) << again.problems;
  EXPECT_EQ(outline(*again.policy.profile),
            "decode-filter context-length-aware encode-filter context-length-aware*1 "
            "max-score-picker");
}

TEST(AppendixA, ANameThatWouldMisleadReferencesIsRefused) {
  fails("plugins:\n- {type: queue-scorer, name: openai-parser}\n",
        "f:2: plugins[0].name: \"openai-parser\" is the name of a type of another kind; choose "
        "another\n");
  EXPECT_EQ(load("plugins:\n- {type: queue-scorer}\n"
                 "- {type: precise-prefix-cache-producer, name: approx-prefix-cache-producer}\n")
                .problems.find("name of a type"),
            std::string::npos);
}

TEST(AppendixA, DamagedDocumentsFailOrReadBackToThemselves) {
  constexpr std::string_view kBytes = "{}[]:,-?&*!|>'\"%@`#\n\t ~a0\\.";
  const std::string whole = testdata("precise_prefix");
  Random random(5);
  int built = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string text = whole;
    for (std::uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
      const std::size_t at = random.below(text.size());
      if (random.below(2) == 0) {
        text[at] = kBytes[random.below(kBytes.size())];
      } else {
        text.erase(at, 1 + random.below(30));
      }
    }
    const Loaded loaded = load(text, Experimental::kAllowed);
    if (!loaded.policy.profile) continue;
    ++built;
    const std::string printed = effective_yaml(loaded.policy);
    const Loaded again = load(printed, Experimental::kAllowed);
    ASSERT_NE(again.policy.profile, nullptr) << text << "\n" << printed << again.problems;
    EXPECT_EQ(effective_yaml(again.policy), printed) << text;
  }
  EXPECT_GT(built, 10);
}

}  // namespace
}  // namespace fairlead::scheduling
