// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/pool_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fronts/extproc/pod_name.h"

namespace fairlead::extproc {
namespace {

constexpr const char* kProducer = "inflight-load-producer";
constexpr const char* kMetricsSource = "metrics-data-source";
constexpr const char* kModelsSource = "models-data-source";
constexpr const char* kPollHelp = "Reads of engines that got no good answer.";
constexpr const char* kExtractHelp = "Answers of engines that told nothing known.";
constexpr const char* kPrefixProducer = "approx-prefix-cache-producer";

}  // namespace

PoolMetrics::PoolMetrics(router::Router& router, const std::string& pool)
    : router_(router),
      pool_{{"name", pool}},
      kv_usage_(spread("kv_cache_utilization", "share of an engine's KV blocks in use")),
      queue_(spread("queue_size", "requests in an engine's queue")),
      running_(spread("running_requests", "requests in an engine's batch")),
      ready_(&router.metrics().gauge("llm_d_epp_ready_endpoints", "Endpoints that take traffic.",
                                     pool_)),
      ready_before_(&router.metrics().gauge("inference_pool_ready_pods",
                                            "Older name: endpoints that take traffic.", pool_)),
      history_blocks_(&router.metrics().gauge(
          "llm_d_epp_prefix_indexer_size", "Blocks of prompts that are remembered.",
          {{"plugin_name", kPrefixProducer}, {"plugin_type", kPrefixProducer}})),
      history_blocks_before_(
          &router.metrics().gauge("inference_extension_prefix_indexer_size",
                                  "Older name: blocks of prompts that are remembered.")),
      metrics_polls_(faults("poll", kPollHelp, {{"source_type", kMetricsSource}})),
      models_polls_(faults("poll", kPollHelp, {{"source_type", kModelsSource}})),
      metrics_texts_(
          faults("extract", kExtractHelp,
                 {{"source_type", kMetricsSource}, {"extractor_type", "core-metrics-extractor"}})),
      models_texts_(
          faults("extract", kExtractHelp,
                 {{"source_type", kModelsSource}, {"extractor_type", "models-data-extractor"}})) {}

std::array<Counter*, 2> PoolMetrics::faults(const char* name, const char* help, Labels labels) {
  MetricRegistry& metrics = router_.metrics();
  return {&metrics.counter(fmt::format("llm_d_epp_datalayer_{}_errors_total", name), help, labels),
          &metrics.counter(fmt::format("llm_d_inference_scheduler_datalayer_{}_errors_total", name),
                           fmt::format("Older name: {}", help), std::move(labels))};
}

PoolMetrics::Spread PoolMetrics::spread(const char* name, const char* help) {
  MetricRegistry& metrics = router_.metrics();
  return {&metrics.gauge(fmt::format("llm_d_epp_average_{}", name), fmt::format("Mean {}.", help),
                         pool_),
          &metrics.gauge(fmt::format("inference_pool_average_{}", name),
                         fmt::format("Older name: mean {}.", help), pool_),
          &metrics.gauge(fmt::format("llm_d_epp_std_dev_{}", name),
                         fmt::format("Standard deviation of {}.", help), pool_)};
}

void PoolMetrics::Spread::set(double sum, double squares, double count) const {
  const double mean = count > 0 ? sum / count : 0;
  average->set(mean);
  average_before->set(mean);
  deviation->set(count > 0 ? std::sqrt(std::max(0.0, squares / count - mean * mean)) : 0);
}

PoolMetrics::EndpointCells& PoolMetrics::cells_of(const model::Endpoint& endpoint) {
  const auto found = endpoints_.find(endpoint.name);
  if (found != endpoints_.end()) return found->second;
  MetricRegistry& metrics = router_.metrics();
  const PodName name = pod_name(endpoint.name);
  Labels now = pool_;
  now.emplace_back("model_server_endpoint", name.name);
  Labels before = pool_;
  before.emplace_back("model_server_pod", name.name);
  const Labels inflight{{"endpoint_name", std::string(name.name)},
                        {"namespace", std::string(name.name_space)},
                        {"producer_name", kProducer},
                        {"fairness_id", ""},
                        {"priority", ""}};
  const EndpointCells cells{
      &metrics.gauge("llm_d_epp_per_endpoint_queue_size", "Requests in the engine's queue.", now),
      &metrics.gauge("inference_pool_per_pod_queue_size",
                     "Older name: requests in the engine's queue.", before),
      &metrics.gauge("llm_d_epp_inflight_requests", "Requests sent there and not ended.", inflight),
      &metrics.gauge("llm_d_epp_inflight_tokens",
                     "Uncached prompt tokens among them, up to their first token.", inflight)};
  return endpoints_.emplace(endpoint.name, cells).first->second;
}

void PoolMetrics::refresh(Time now, Duration stale_after, const fleet::ReadFaults& faults) {
  for (const std::size_t i : {0U, 1U}) {
    metrics_polls_[i]->raise_to(faults.metrics_unreachable);
    models_polls_[i]->raise_to(faults.models_unreachable);
    metrics_texts_[i]->raise_to(faults.metrics_unreadable);
    models_texts_[i]->raise_to(faults.models_unreadable);
  }
  ++refreshes_;
  const auto pool = router_.pool().load();
  double count = 0;
  double ready = 0;
  double sums[3] = {};
  double squares[3] = {};
  for (const model::Endpoint& endpoint : pool->endpoints) {
    const fleet::LoadRow load = router_.load().read(endpoint.ref.slot);
    const fleet::InFlight inflight = router_.inflight().read(endpoint.ref.slot);
    EndpointCells& cells = cells_of(endpoint);
    cells.seen = refreshes_;
    cells.queue->set(static_cast<double>(load.waiting));
    cells.queue_before->set(static_cast<double>(load.waiting));
    cells.requests->set(static_cast<double>(inflight.requests));
    cells.tokens->set(static_cast<double>(inflight.uncached_tokens));
    if (endpoint.takes_traffic()) ++ready;
    if (load.scraped_at == Time{} || now - load.scraped_at > stale_after) continue;
    ++count;
    const double figures[3] = {load.kv_usage, load.waiting, load.running};
    for (std::size_t i = 0; i < std::size(figures); ++i) {
      sums[i] += figures[i];
      squares[i] += figures[i] * figures[i];
    }
  }
  kv_usage_.set(sums[0], squares[0], count);
  queue_.set(sums[1], squares[1], count);
  running_.set(sums[2], squares[2], count);
  ready_->set(ready);
  ready_before_->set(ready);
  const auto blocks = static_cast<double>(router_.history().figures().held_blocks);
  history_blocks_->set(blocks);
  history_blocks_before_->set(blocks);
  std::erase_if(endpoints_, [this](const auto& one) {
    if (one.second.seen == refreshes_) return false;
    for (const char* label :
         {"model_server_endpoint", "model_server_pod", "endpoint_name", "pod"}) {
      router_.metrics().retire(label, pod_name(one.first).name);
    }
    return true;
  });
}

}  // namespace fairlead::extproc
