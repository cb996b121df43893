// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/known_types.h"

#include <algorithm>
#include <array>

namespace fairlead::scheduling {
namespace {

using enum Unhonoured;

constexpr std::array<ParameterRule, 6> kPrefixParameters{{
    {"autoTune", kWarn, "true"},
    {"blockSizeTokens", kWarn, ""},
    {"blockSize", kWarn, ""},
    {"maxPrefixBlocksToMatch", kWarn, ""},
    {"maxPrefixTokensToMatch", kWarn, ""},
    {"lruCapacityPerServer", kWarn, ""},
}};
constexpr std::array<ParameterRule, 5> kInFlightParameters{{
    {"addEstimatedOutputTokens", kRefuse, "false"},
    {"outputRatio", kWarn, ""},
    {"maxEstimatedOutputTokens", kWarn, ""},
    {"prefixMatchInfoProducerName", kWarn, "approx-prefix-cache-producer"},
    {"syncCrossReplicaState", kWarn, "false"},
}};
constexpr std::array<ParameterRule, 4> kTokenParameters{{
    {"estimate", kWarn, ""},
    {"modelName", kWarn, ""},
    {"vllm", kWarn, ""},
    {"udsTokenizerConfig", kWarn, ""},
}};
constexpr std::array<ParameterRule, 8> kMetricsSourceParameters{{
    {"scheme", kRefuse, "http"},
    {"path", kRefuse, "/metrics"},
    {"port", kRefuse, ""},
    {"insecureSkipVerify", kWarn, "true"},
    {"caCertPath", kWarn, ""},
    {"clientCertPath", kWarn, ""},
    {"clientKeyPath", kWarn, ""},
    {"interval", kWarn, ""},
}};
constexpr std::array<ParameterRule, 3> kMetricsExtractorParameters{{
    {"engineLabelKey", kWarn, "llm-d.ai/engine-type"},
    {"defaultEngine", kRefuse, "vllm"},
    {"engineConfigs", kRefuse, ""},
}};

constexpr std::array<BuiltInType, 7> kBuiltIn{{
    {"approx-prefix-cache-producer", Role::kProducer,
     "prefix history is always kept; its block and size are set under prefix:", kPrefixParameters},
    {"inflight-load-producer", Role::kProducer,
     "requests and uncached prompt tokens in flight are always counted", kInFlightParameters},
    {"token-producer", Role::kProducer, "tokens are estimated as bytes / 4", kTokenParameters},
    {"metrics-data-source", Role::kSource,
     "http://endpoint/metrics is always scraped, every fleet.scrapeInterval",
     kMetricsSourceParameters},
    {"core-metrics-extractor", Role::kExtractor, "vLLM's metric names are read",
     kMetricsExtractorParameters},
    {"single-profile-handler", Role::kHandler, "there is one profile", {}},
    {"openai-parser", Role::kParser, "OpenAI's API is always understood", {}},
}};

constexpr std::array kOther = std::to_array<std::string_view>({
    // Filters.
    "label-selector-filter",
    "by-label-selector",
    "by-label",
    "encode-filter",
    "decode-filter",
    "prefill-filter",
    "session-affinity-filter",
    "multicluster-session-affinity-filter",
    "endpoint-attribute-filter",
    "topology-affinity-filter",
    "utilization-filter",
    "prefix-cache-affinity-filter",
    "slo-headroom-tier-filter",
    "header-based-testing-filter",
    // Scorers.
    "queue-scorer",
    "running-requests-size-scorer",
    "kv-cache-utilization-scorer",
    "lora-affinity-scorer",
    "prefix-cache-scorer",
    "precise-prefix-cache-scorer",
    "load-aware-scorer",
    "active-request-scorer",
    "token-load-scorer",
    "no-hit-lru-scorer",
    "context-length-aware",
    "session-affinity-scorer",
    "header-label-affinity-scorer",
    "endpoint-attribute-scorer",
    "topology-affinity-scorer",
    "mm-embeddings-cache-scorer",
    "latency-scorer",
    "multicluster-queue-scorer",
    "multicluster-kv-cache-utilization-scorer",
    "multicluster-prefix-cache-scorer",
    // Pickers.
    "max-score-picker",
    "random-picker",
    "weighted-random-picker",
    // Profile handlers and deciders.
    "data-parallel-profile-handler",
    "header-profile-handler",
    "disagg-profile-handler",
    "pd-profile-handler",
    "disagg-headers-handler",
    "prefill-header-handler",
    "prefix-based-pd-decider",
    "always-disagg-pd-decider",
    "always-disagg-multimodal-decider",
    // Request control.
    "disaggregatedset-rollout-screener",
    "latency-slo-admitter",
    "probabilistic-admitter",
    "agent-identity",
    "request-attribute-reporter",
    "destination-endpoint-served-verifier",
    // Data producers.
    "tokenizer",
    "multicluster-approx-prefix-cache-producer",
    "precise-prefix-cache-producer",
    "burst-prefix-cache-producer",
    "p2p-source-producer",
    "session-id-producer",
    "mm-embeddings-cache-producer",
    "predicted-latency-producer",
    // Flow control.
    "global-strict-fairness-policy",
    "round-robin-fairness-policy",
    "program-aware-fairness",
    "fcfs-ordering-policy",
    "edf-ordering-policy",
    "slo-deadline-ordering-policy",
    "static-usage-limit-policy",
    "priority-holdback-policy",
    "soft-reflective-ceiling-policy",
    "utilization-detector",
    "concurrency-detector",
    "sheddable-eviction-filter",
    "priority-then-time-eviction-order-policy",
    // Data layer.
    "models-data-source",
    "models-data-extractor",
    "dcgm-data-source",
    "dcgm-extractor",
    "topology-extractor",
    "k8s-notification-source",
    "endpoint-notification-source",
    "multicluster-metrics-data-source",
    "multicluster-metrics-extractor",
    "file-discovery",
    "multicluster-file-discovery",
    // Parsers.
    "anthropic-parser",
    "vllmhttp-parser",
    "sglanghttp-parser",
    "vllmgrpc-parser",
    "vertexai-parser",
    "passthrough-parser",
});

}  // namespace

std::span<const BuiltInType> built_in_types() { return kBuiltIn; }

const BuiltInType* built_in_type(std::string_view type) {
  const auto* const found = std::ranges::find(kBuiltIn, type, &BuiltInType::type);
  return found == kBuiltIn.end() ? nullptr : &*found;
}

std::span<const std::string_view> other_types() { return kOther; }

}  // namespace fairlead::scheduling
