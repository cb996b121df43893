// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/scheduler_metrics.h"

#include <fmt/format.h>

#include <algorithm>

#include "fronts/extproc/pod_name.h"

namespace fairlead::extproc {
namespace {

// llm-d's bounds.
constexpr double kTookBounds[] = {.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1};
constexpr double kRatioBounds[] = {0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1};
constexpr double kBytesBounds[] = {0,    16,   32,   64,   128,   256,   512,
                                   1024, 2048, 4096, 8192, 16384, 32768, 65536};
// What a token of an estimated prompt stands for (core/tokens/estimate.h).
constexpr double kBytesPerToken = 4;

std::array<Histogram*, 2> pair(MetricRegistry& registry, std::string_view name,
                               std::string_view help, std::span<const double> bounds,
                               Labels labels = {}) {
  return {&registry.histogram(fmt::format("llm_d_epp_{}", name), help, bounds, std::move(labels)),
          &registry.histogram(fmt::format("inference_extension_{}", name),
                              fmt::format("Older name: {}", help), bounds)};
}

Labels producer() {
  return {{"plugin_name", "approx-prefix-cache-producer"},
          {"plugin_type", "approx-prefix-cache-producer"}};
}

}  // namespace

SchedulerMetrics::SchedulerMetrics(MetricRegistry& registry, LabelBudget& models)
    : registry_(registry),
      models_(models),
      took_(pair(registry, "scheduler_e2e_duration_seconds", "Time that a decision took.",
                 kTookBounds)),
      hit_ratio_(pair(registry, "prefix_indexer_hit_ratio",
                      "Share of a prompt that its endpoint was expected to have cached.",
                      kRatioBounds, producer())),
      hit_bytes_(pair(registry, "prefix_indexer_hit_bytes",
                      "Bytes of a prompt that its endpoint was expected to have cached.",
                      kBytesBounds, producer())) {}

SchedulerMetrics::Pair SchedulerMetrics::register_attempts(std::string_view model,
                                                           const model::Endpoint* endpoint) {
  constexpr std::string_view kHelp = "Decisions, by endpoint.";
  const PodName name = endpoint == nullptr ? PodName{} : pod_name(endpoint->name);
  Labels labels = {
      {"status", endpoint == nullptr ? "failure" : "success"},
      {"target_model_name", std::string(model)},
      {"endpoint_name", std::string(name.name)},
      {"namespace", std::string(name.name_space)},
      {"port", endpoint == nullptr ? std::string() : fmt::format("{}", endpoint->port)}};
  Labels before = labels;
  before[2].first = "pod_name";
  return {&registry_.counter("llm_d_epp_scheduler_attempts_total", kHelp, std::move(labels)),
          &registry_.counter("inference_extension_scheduler_attempts_total",
                             fmt::format("Older name: {}", kHelp), std::move(before))};
}

void SchedulerMetrics::on_placed(std::string_view model, const model::Endpoint& endpoint,
                                 const picker::Decision& decision, Duration took) {
  for (Histogram* const one : took_) one->observe(to_seconds(took));
  if (decision.prompt_tokens > 0) {
    const auto cached = static_cast<double>(decision.cached_tokens);
    const double ratio = cached / static_cast<double>(decision.prompt_tokens);
    for (Histogram* const one : hit_ratio_) one->observe(std::min(1.0, ratio));
    for (Histogram* const one : hit_bytes_) one->observe(kBytesPerToken * cached);
  }
  Place& place = places_[endpoint.ref.slot];
  if (place.generation != endpoint.ref.generation) {
    place.generation = endpoint.ref.generation;
    place.attempts.clear();
    place.media_hits = nullptr;
  }
  if (decision.media > 0) on_media(endpoint, decision);
  const std::string_view label = models_.admit(model);
  auto at = place.attempts.find(label);
  if (at == place.attempts.end()) {
    at = place.attempts.emplace(label, register_attempts(label, &endpoint)).first;
  }
  for (Counter* const one : at->second) one->add();
}

// Few policies ask for media, so that these are registered when they are met.
void SchedulerMetrics::on_media(const model::Endpoint& endpoint, const picker::Decision& decision) {
  constexpr const char* kProducer = "mm-embeddings-cache-producer";
  const Labels labels{{"plugin_type", kProducer}, {"plugin_name", kProducer}};
  Labels by_kind = labels;
  by_kind.emplace_back("modality", "");
  if (media_queries_ == nullptr) {
    media_queries_ = &registry_.counter("llm_d_epp_encoder_cache_queries_total",
                                        "Images and the like of placed requests.", by_kind);
    media_ratio_ = &registry_.histogram(
        "llm_d_epp_encoder_cache_hit_ratio",
        "Share of a request's images and the like that its endpoint was sent before.", kRatioBounds,
        labels);
  }
  Counter*& hits = places_[endpoint.ref.slot].media_hits;
  if (hits == nullptr) {
    by_kind.emplace_back("pod", pod_name(endpoint.name).name);
    hits = &registry_.counter("llm_d_epp_encoder_cache_hits_total",
                              "Those of them that their endpoint was sent before.",
                              std::move(by_kind));
  }
  media_queries_->add(decision.media);
  hits->add(decision.media_cached);
  media_ratio_->observe(static_cast<double>(decision.media_cached) /
                        static_cast<double>(decision.media));
}

void SchedulerMetrics::on_refused(std::string_view model, Duration took) {
  for (Histogram* const one : took_) one->observe(to_seconds(took));
  const std::string_view label = models_.admit(model);
  auto at = refused_.find(label);
  if (at == refused_.end()) {
    at = refused_.emplace(label, register_attempts(label, nullptr)).first;
  }
  for (Counter* const one : at->second) one->add();
}

}  // namespace fairlead::extproc
