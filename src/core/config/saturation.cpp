// SPDX-License-Identifier: Apache-2.0
#include "core/config/saturation.h"

#include <fmt/format.h>

#include <array>

#include "core/config/units.h"

namespace fairlead::config {
namespace {

using Mode = ConcurrencyDetector::Mode;

constexpr std::array<std::string_view, 3> kModeNames = {"requests", "tokens", "hybrid"};
constexpr double kMaxFigure = 1e9;
constexpr std::int64_t kMaxCount = 1'000'000'000;
constexpr std::int64_t kMaxTokens = 1'000'000'000'000;

// Of a threshold that something is divided by.
double positive(Section& parameters, std::string_view key, double fallback, double max) {
  const double value = parameters.number(key, fallback, 0, max);
  if (value > 0) return value;
  parameters.error(key, "must be more than 0");
  return fallback;
}

std::string flow_text(const UtilizationDetector& detector) {
  return fmt::format(
      "{{queueDepthThreshold: {}, kvCacheUtilThreshold: {}, metricsStalenessThreshold: {}, "
      "headroom: {}}}",
      detector.queue_depth_threshold, detector.kv_cache_util_threshold,
      duration_text(detector.metrics_staleness_threshold), detector.headroom);
}

std::string flow_text(const ConcurrencyDetector& detector) {
  return fmt::format(
      "{{maxConcurrency: {}, concurrencyMode: {}, maxTokenConcurrency: {}, headroom: {}}}",
      detector.max_concurrency, kModeNames[static_cast<std::size_t>(detector.mode)],
      detector.max_token_concurrency, detector.headroom);
}

}  // namespace

std::string_view type_name(const SaturationDetector& detector) {
  return std::holds_alternative<UtilizationDetector>(detector) ? "utilization-detector"
                                                               : "concurrency-detector";
}

UtilizationDetector read_utilization_detector(Section& parameters) {
  UtilizationDetector detector;
  detector.queue_depth_threshold =
      positive(parameters, "queueDepthThreshold", detector.queue_depth_threshold, kMaxFigure);
  detector.kv_cache_util_threshold =
      positive(parameters, "kvCacheUtilThreshold", detector.kv_cache_util_threshold, 1);
  detector.metrics_staleness_threshold =
      parameters.duration("metricsStalenessThreshold", detector.metrics_staleness_threshold,
                          std::chrono::milliseconds(1), std::chrono::hours(1));
  detector.headroom = parameters.number("headroom", 0, 0, kMaxFigure);
  return detector;
}

ConcurrencyDetector read_concurrency_detector(Section& parameters) {
  ConcurrencyDetector detector;
  detector.max_concurrency =
      parameters.integer("maxConcurrency", detector.max_concurrency, 1, kMaxCount);
  detector.max_token_concurrency =
      parameters.integer("maxTokenConcurrency", detector.max_token_concurrency, 1, kMaxTokens);
  detector.headroom = parameters.number("headroom", 0, 0, kMaxFigure);
  const std::string mode = parameters.choice("concurrencyMode", kModeNames[0],
                                             {kModeNames[0], kModeNames[1], kModeNames[2]});
  if (mode == kModeNames[1]) detector.mode = Mode::kTokens;
  if (mode == kModeNames[2]) detector.mode = Mode::kHybrid;
  parameters.text("inFlightLoadProducerName", "");
  return detector;
}

std::string flow_yaml(const SaturationDetector& detector) {
  return std::visit([](const auto& one) { return flow_text(one); }, detector);
}

}  // namespace fairlead::config
