// SPDX-License-Identifier: Apache-2.0
// Saturation detectors as configured: when a pool counts as full. Admission without queues sheds
// requests of negative priority while the pool's saturation is 1 or more.
//
// utilization-detector: an endpoint's saturation is max(waiting / queueDepthThreshold, kv usage /
// kvCacheUtilThreshold), 1 when its figures are older than metricsStalenessThreshold; the pool's is
// their mean. concurrency-detector: what is in flight over the pool's capacity, by requests or
// tokens; hybrid: the mean of each endpoint's larger ratio. `headroom` widens the limit where a
// detector is used as a filter, and is nothing to the pool's saturation.
// Values; thread-compatible. Source: llm-d-router v0.10, its types and parameters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/time.h"
#include "core/config/section.h"

namespace fairlead::config {

struct UtilizationDetector {
  double queue_depth_threshold = 5;      // Requests.
  double kv_cache_util_threshold = 0.8;  // Fraction of KV blocks.
  Duration metrics_staleness_threshold = std::chrono::milliseconds(200);
  double headroom = 0;
  friend bool operator==(const UtilizationDetector&, const UtilizationDetector&) = default;
};

struct ConcurrencyDetector {
  enum class Mode : std::uint8_t { kRequests, kTokens, kHybrid };

  std::int64_t max_concurrency = 100;  // Requests an endpoint.
  std::int64_t max_token_concurrency = 1'000'000;
  double headroom = 0;
  Mode mode = Mode::kRequests;
  friend bool operator==(const ConcurrencyDetector&, const ConcurrencyDetector&) = default;
};

using SaturationDetector = std::variant<UtilizationDetector, ConcurrencyDetector>;

std::string_view type_name(const SaturationDetector& detector);

// The parameters of a detector of that type; the caller finishes them.
UtilizationDetector read_utilization_detector(Section& parameters);
ConcurrencyDetector read_concurrency_detector(Section& parameters);

// The parameters in YAML's flow form, which the readers read back to an equal detector.
std::string flow_yaml(const SaturationDetector& detector);

}  // namespace fairlead::config
