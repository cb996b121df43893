// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/known_types.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>

#include "core/config/wording.h"

namespace fairlead::scheduling {
namespace {

using config::Section;
using enum Form;
using enum Unhonoured;

constexpr auto kPrefixParameters = std::to_array<ParameterRule>({
    {"autoTune", kFlag, kWarn, "true"},
    {"blockSizeTokens", kCount, kWarn, ""},
    {"blockSize", kCount, kWarn, ""},
    {"maxPrefixBlocksToMatch", kCount, kWarn, ""},
    {"maxPrefixTokensToMatch", kCount, kWarn, ""},
    {"lruCapacityPerServer", kCount, kWarn, ""},
});
constexpr auto kInFlightParameters = std::to_array<ParameterRule>({
    {"addEstimatedOutputTokens", kFlag, kRefuse, "false"},
    {"outputRatio", kNumber, kWarn, ""},
    {"maxEstimatedOutputTokens", kCount, kWarn, ""},
    {"prefixMatchInfoProducerName", kText, kQuiet, ""},
    {"syncCrossReplicaState", kFlag, kWarn, "false"},
});
constexpr auto kTokenParameters = std::to_array<ParameterRule>({
    {"modelName", kText, kQuiet, ""},
    {"vllm.url", kText, kWarn, ""},
    {"vllm.timeout", kDuration, kQuiet, ""},
    {"vllm.mmTimeout", kDuration, kQuiet, ""},
    {"udsTokenizerConfig.socketFile", kText, kWarn, ""},
    {"udsTokenizerConfig.useTCP", kFlag, kQuiet, ""},
    {"udsTokenizerConfig.modelTokenizerMap", kTextMap, kQuiet, ""},
    {"estimate.image.mode", kText, kWarn, ""},
    {"estimate.image.defaultResolution.width", kCount, kWarn, ""},
    {"estimate.image.defaultResolution.height", kCount, kWarn, ""},
    {"estimate.image.static.staticToken", kCount, kWarn, ""},
    {"estimate.image.dynamic.factor", kCount, kWarn, ""},
    {"estimate.video.defaultResolution.width", kCount, kWarn, ""},
    {"estimate.video.defaultResolution.height", kCount, kWarn, ""},
    {"estimate.video.defaultDuration", kAny, kWarn, ""},
    {"estimate.video.tokensPerFrame.mode", kText, kWarn, ""},
    {"estimate.video.tokensPerFrame.static.numTokensPerFrame", kCount, kWarn, ""},
    {"estimate.video.tokensPerFrame.dynamic.factor", kCount, kWarn, ""},
    {"estimate.video.frames.mode", kText, kWarn, ""},
    {"estimate.video.frames.minFrames", kCount, kWarn, ""},
    {"estimate.video.frames.maxFrames", kCount, kWarn, ""},
    {"estimate.video.frames.sampled.sampleFPS", kNumber, kWarn, ""},
    {"estimate.video.frames.sampled.temporalPatchSize", kCount, kWarn, ""},
    {"estimate.video.frames.strided.defaultSourceFPS", kNumber, kWarn, ""},
    {"estimate.video.frames.strided.frameStride", kCount, kWarn, ""},
    {"estimate.video.maxVideoTokens", kCount, kWarn, ""},
});
constexpr auto kPreciseParameters = std::to_array<ParameterRule>({
    {"tokenProcessorConfig.blockSizeTokens", kCount, kQuiet, ""},
    {"tokenProcessorConfig.blockSize", kCount, kQuiet, ""},
    {"tokenProcessorConfig.hashSeed", kText, kQuiet, ""},
    // Of llm-d's own keys. Those here are not seen outside; engines' hashes are told from events.
    {"tokenProcessorConfig.hashAlgorithm", kText, kWarn, "xxh64"},
    {"indexerConfig.kvBlockIndexConfig.inMemoryConfig.size", kCount, kQuiet, ""},
    {"indexerConfig.kvBlockIndexConfig.inMemoryConfig.podCacheSize", kCount, kQuiet, ""},
    {"indexerConfig.kvBlockIndexConfig.redisConfig.address", kText, kWarn, ""},
    {"indexerConfig.kvBlockIndexConfig.costAwareMemoryConfig.size", kText, kQuiet, ""},
    {"indexerConfig.kvBlockIndexConfig.enableMetrics", kFlag, kQuiet, ""},
    {"indexerConfig.kvBlockIndexConfig.metricsLoggingInterval", kCount, kQuiet, ""},
    {"indexerConfig.kvCacheBackendConfigs[].name", kText, kQuiet, ""},
    {"indexerConfig.kvCacheBackendConfigs[].weight", kNumber, kQuiet, ""},
    {"kvEventsConfig.zmqEndpoint", kText, kQuiet, ""},
    {"kvEventsConfig.topicFilter", kText, kQuiet, ""},
    {"kvEventsConfig.concurrency", kCount, kQuiet, ""},
    {"kvEventsConfig.engineType", kText, kQuiet, ""},
    {"kvEventsConfig.discoverPods", kFlag, kQuiet, ""},
    {"kvEventsConfig.podDiscoveryConfig.podLabelSelector", kText, kQuiet, ""},
    {"kvEventsConfig.podDiscoveryConfig.podNamespace", kText, kQuiet, ""},
    {"kvEventsConfig.podDiscoveryConfig.socketPort", kCount, kQuiet, ""},
    {"kvEventsConfig.podDiscoveryConfig.replaySocketPort", kCount, kQuiet, ""},
    {"speculativeIndexing", kFlag, kQuiet, ""},
    {"speculativeTTL", kDuration, kQuiet, ""},
});
constexpr auto kSessionIdParameters = std::to_array<ParameterRule>({
    {"headerName", kText, kQuiet, ""},
    {"cookieName", kText, kQuiet, ""},
});
constexpr auto kMediaParameters = std::to_array<ParameterRule>({
    {"cacheSizeInMBPerServer", kCount, kWarn, "4096"},
});
constexpr auto kMetricsSourceParameters = std::to_array<ParameterRule>({
    {"scheme", kText, kRefuse, "http"},
    {"path", kText, kQuiet, ""},
    {"port", kCount, kQuiet, ""},
    {"insecureSkipVerify", kFlag, kWarn, "true"},
    {"caCertPath", kText, kWarn, ""},
    {"clientCertPath", kText, kWarn, ""},
    {"clientKeyPath", kText, kWarn, ""},
    {"interval", kDuration, kQuiet, ""},
});
constexpr auto kModelsSourceParameters = std::to_array<ParameterRule>({
    {"scheme", kText, kRefuse, "http"},
    {"path", kText, kRefuse, "/v1/models"},
    {"insecureSkipVerify", kFlag, kWarn, "true"},
    {"caCertPath", kText, kWarn, ""},
    {"clientCertPath", kText, kWarn, ""},
    {"clientKeyPath", kText, kWarn, ""},
    {"interval", kDuration, kWarn, ""},
});
constexpr auto kMetricsExtractorParameters = std::to_array<ParameterRule>({
    {"engineLabelKey", kText, kQuiet, ""},
    {"defaultEngine", kText, kQuiet, ""},
    {"engineConfigs", kAny, kRefuse, ""},
});
constexpr auto kKubernetesSourceParameters = std::to_array<ParameterRule>({
    {"group", kText, kQuiet, ""},
    {"version", kText, kQuiet, ""},
    {"kind", kText, kQuiet, ""},
});

void check_one_tokenizer(Section& parameters) {
  std::string_view last;
  for (const std::string_view backend : {"estimate", "vllm", "udsTokenizerConfig"}) {
    if (!parameters.has(backend)) continue;
    if (!last.empty()) {
      parameters.error(backend, fmt::format("a second tokenizer beside {}; give only one", last));
    }
    last = backend;
  }
  if (!last.empty() && last != "estimate" && !parameters.has("modelName")) {
    parameters.error(last, "needs modelName beside it");
  }
}

void check_one_session_id(Section& parameters) {
  const bool has_header = !parameters.text("headerName", "").empty();
  const bool has_cookie = !parameters.text("cookieName", "").empty();
  if (has_header != has_cookie) return;
  parameters.error("", has_header ? "headerName and cookieName exclude each other"
                                  : "needs headerName or cookieName");
}

// Whose figures they are is told by their names, whatever an endpoint's labels say.
void check_known_engine(Section& parameters) {
  constexpr std::array<std::string_view, 5> kEngines = {"vllm", "sglang", "trtllm-serve",
                                                        "triton-tensorrt-llm", "triton"};
  const std::string engine = parameters.text("defaultEngine", "vllm");
  if (std::ranges::find(kEngines, engine) != kEngines.end()) return;
  parameters.error("defaultEngine",
                   fmt::format("{} is none of the engines that are known here: {}",
                               config::in_quotes(engine), fmt::join(kEngines, ", ")));
}

void check_object_kind(Section& parameters) {
  for (const std::string_view key : {"version", "kind"}) {
    if (!parameters.has(key)) parameters.error("", fmt::format("\"{}\" is missing", key));
  }
}

constexpr auto kBuiltIn = std::to_array<BuiltInType>({
    {"approx-prefix-cache-producer", Role::kProducer,
     "prefix history is always kept; its block and size are set under prefix:", kPrefixParameters},
    {"precise-prefix-cache-producer", Role::kProducer,
     "one index of its own, bounded by costAwareMemoryConfig.size, is kept", kPreciseParameters, "",
     "endpoint-notification-source"},
    {"inflight-load-producer", Role::kProducer,
     "requests and uncached prompt tokens in flight are always counted", kInFlightParameters},
    {"token-producer", Role::kProducer,
     "tokens are made by tokens.models, or estimated as bytes / 4", kTokenParameters, "", "",
     check_one_tokenizer},
    {"session-id-producer", Role::kProducer, "", kSessionIdParameters, "", "",
     check_one_session_id},
    {"mm-embeddings-cache-producer", Role::kProducer,
     "2,048 items are remembered of each endpoint where something reads them", kMediaParameters},
    {"metrics-data-source", Role::kSource, "endpoints are scraped over HTTP as they are reached",
     kMetricsSourceParameters},
    {"models-data-source", Role::kSource,
     "http://endpoint/v1/models is always asked, every fleet.modelsInterval",
     kModelsSourceParameters},
    {"k8s-notification-source", Role::kSource, "", kKubernetesSourceParameters,
     "has no effect: Kubernetes is not watched", "", check_object_kind},
    {"endpoint-notification-source", Role::kSource, "", {}},
    {"core-metrics-extractor", Role::kExtractor,
     "the metric names of vLLM, SGLang, TensorRT-LLM and Triton are read",
     kMetricsExtractorParameters, "", "metrics-data-source", check_known_engine},
    {"models-data-extractor", Role::kExtractor, "", {}, "", "models-data-source"},
    {"single-profile-handler", Role::kHandler, "there is one profile", {}},
    {"openai-parser", Role::kParser, "", {}},
    {"anthropic-parser", Role::kParser, "", {}},
    {"vllmhttp-parser", Role::kParser, "", {}},
    {"sglanghttp-parser", Role::kParser, "", {}},
    {"passthrough-parser", Role::kParser, "", {}},
    {"file-discovery", Role::kDiscovery, "", {}},
    {"destination-endpoint-served-verifier", Role::kResponse, "", {}},
});

// Takes what its producer would, where there is none.
constexpr BuiltInType kPreciseScorer{
    "precise-prefix-cache-scorer", Role::kScorer,
    "one index of its own, bounded by costAwareMemoryConfig.size, is kept", kPreciseParameters};

constexpr auto kDeprecated = std::to_array<DeprecatedType>({
    {"by-label-selector", "label-selector-filter", ""},
    {"by-label", "label-selector-filter", ""},
    {"tokenizer", "token-producer", "token-producer"},
    {"precise-prefix-cache-scorer", "precise-prefix-cache-producer and prefix-cache-scorer",
     "prefix-cache-scorer", &kPreciseScorer},
});

constexpr std::string_view kStages = "prefill/decode disaggregation";
constexpr std::string_view kQueues = "flow control";
constexpr std::string_view kClusters = "multicluster routing";
constexpr std::string_view kLatency = "latency prediction";
constexpr std::string_view kGrpcEngines = "requests over gRPC";
constexpr std::string_view kAlpha = "llm-d's experimental types";

constexpr auto kMissing = std::to_array<MissingType>({
    {"disagg-profile-handler", kStages},
    {"pd-profile-handler", kStages},
    {"disagg-headers-handler", kStages},
    {"prefill-header-handler", kStages},
    {"header-profile-handler", kStages},
    {"data-parallel-profile-handler", kStages},
    {"prefix-based-pd-decider", kStages},
    {"always-disagg-pd-decider", kStages},
    {"always-disagg-multimodal-decider", kStages},
    {"p2p-source-producer", kStages},
    {"disaggregatedset-rollout-screener", kStages},
    {"global-strict-fairness-policy", kQueues},
    {"round-robin-fairness-policy", kQueues},
    {"program-aware-fairness", kQueues},
    {"fcfs-ordering-policy", kQueues},
    {"edf-ordering-policy", kQueues},
    {"slo-deadline-ordering-policy", kQueues},
    {"static-usage-limit-policy", kQueues},
    {"priority-holdback-policy", kQueues},
    {"soft-reflective-ceiling-policy", kQueues},
    {"sheddable-eviction-filter", kQueues},
    {"priority-then-time-eviction-order-policy", kQueues},
    {"multicluster-session-affinity-filter", kClusters},
    {"multicluster-queue-scorer", kClusters},
    {"multicluster-kv-cache-utilization-scorer", kClusters},
    {"multicluster-prefix-cache-scorer", kClusters},
    {"multicluster-approx-prefix-cache-producer", kClusters},
    {"multicluster-metrics-data-source", kClusters},
    {"multicluster-metrics-extractor", kClusters},
    {"multicluster-file-discovery", kClusters},
    {"predicted-latency-producer", kLatency},
    {"latency-scorer", kLatency},
    {"latency-slo-admitter", kLatency},
    {"slo-headroom-tier-filter", kLatency},
    {"vllmgrpc-parser", kGrpcEngines},
    {"vertexai-parser", kGrpcEngines},
    {"session-affinity-filter", kAlpha},
    {"endpoint-attribute-filter", kAlpha},
    {"topology-affinity-filter", kAlpha},
    {"header-label-affinity-scorer", kAlpha},
    {"endpoint-attribute-scorer", kAlpha},
    {"topology-affinity-scorer", kAlpha},
    {"agent-identity", kAlpha},
    {"burst-prefix-cache-producer", kAlpha},
    {"dcgm-data-source", kAlpha},
    {"dcgm-extractor", kAlpha},
    {"topology-extractor", kAlpha},
});

// Whether the value has its form; a problem otherwise.
bool has_form(const ParameterRule& rule, std::string_view key, Section& at) {
  constexpr double kMaxNumber = 1e18;
  constexpr std::int64_t kMaxCount = 1'000'000'000'000'000'000;
  const std::size_t before = at.problem_count();
  switch (rule.form) {
    case kText:
      at.text(key, "");
      break;
    case kNumber:
      at.number(key, 0, -kMaxNumber, kMaxNumber);
      break;
    case kCount:
      at.integer(key, 0, 0, kMaxCount);
      break;
    case kFlag:
      at.boolean(key);
      break;
    case kDuration:
      at.duration(key, Duration{}, Duration{}, std::chrono::hours(24 * 365));
      break;
    case kTextMap:
      at.text_map(key);
      break;
    case kAny:
      at.skip(key);
      break;
  }
  return at.problem_count() == before;
}

void check_leaf(const BuiltInType& type, const ParameterRule& rule, std::string_view key,
                Section& at) {
  at.skip(key);
  if (!at.has(key) || !has_form(rule, key, at) || rule.otherwise == kQuiet) return;
  if (!rule.accepted.empty() && at.text(key, "") == rule.accepted) return;
  if (rule.otherwise == kRefuse) {
    at.error(key,
             fmt::format("not supported yet{}{}: {}", rule.accepted.empty() ? "" : ", other than ",
                         rule.accepted, type.done_here));
  } else {
    at.warning(key, fmt::format("has no effect: {}", type.done_here));
  }
}

// The rules whose names begin with `prefix`, read at the section that it names. Rules of one
// mapping stand together.
void check_below(const BuiltInType& type, std::string_view prefix, Section& at) {
  std::string_view done;
  for (const ParameterRule& rule : type.parameters) {
    if (!rule.name.starts_with(prefix)) continue;
    const std::string_view rest = rule.name.substr(prefix.size());
    const std::size_t dot = rest.find('.');
    if (dot == std::string_view::npos) {
      check_leaf(type, rule, rest, at);
      continue;
    }
    const std::string_view part = rest.substr(0, dot);
    if (part == done) continue;
    done = part;
    const std::string_view deeper = rule.name.substr(0, prefix.size() + dot + 1);
    if (part.ends_with("[]")) {
      for (Section& item : at.children(part.substr(0, part.size() - 2))) {
        check_below(type, deeper, item);
      }
    } else {
      Section child = at.child(part);
      check_below(type, deeper, child);
    }
  }
  at.finish();
}

template <class Row>
const Row* find(std::span<const Row> rows, std::string_view type) {
  const auto found = std::ranges::find(rows, type, &Row::type);
  return found == rows.end() ? nullptr : &*found;
}

}  // namespace

std::string_view to_string(Role role) {
  constexpr std::string_view kNames[] = {
      "filter",    "scorer",         "picker",          "data producer",      "data source",
      "extractor", "parser",         "profile handler", "endpoint discovery", "saturation detector",
      "admitter",  "response plugin"};
  return kNames[static_cast<std::size_t>(role)];
}

std::span<const BuiltInType> built_in_types() { return kBuiltIn; }

const BuiltInType* built_in_type(std::string_view type) {
  return find<BuiltInType>(kBuiltIn, type);
}

void check_parameters(const BuiltInType& type, Section& parameters) {
  if (type.check != nullptr) type.check(parameters);
  check_below(type, "", parameters);
}

const DeprecatedType* deprecated_type(std::string_view type) {
  return find<DeprecatedType>(kDeprecated, type);
}

std::span<const MissingType> missing_types() { return kMissing; }

const MissingType* missing_type(std::string_view type) { return find<MissingType>(kMissing, type); }

}  // namespace fairlead::scheduling
