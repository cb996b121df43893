// SPDX-License-Identifier: Apache-2.0
// SchedulerMetrics: the metrics of decisions under the names of llm-d's Endpoint Picker, each
// beside its older name. docs/metrics-epp.md documents every metric. Units: seconds, shares, bytes.
// Threads: the worker's thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/metrics.h"
#include "base/time.h"
#include "core/model/endpoint.h"
#include "core/picker/picker.h"
#include "fronts/extproc/label_budget.h"

namespace fairlead::extproc {

class SchedulerMetrics {
 public:
  // `models` is shared by all workers.
  SchedulerMetrics(MetricRegistry& registry, LabelBudget& models);

  // `took`: from the facts of a request to the decision about it.
  void on_placed(std::string_view model, const model::Endpoint& endpoint,
                 const picker::Decision& decision, Duration took);
  void on_refused(std::string_view model, Duration took);

 private:
  using Pair = std::array<Counter*, 2>;  // Under its name of today, and the older one.
  Pair register_attempts(std::string_view model, const model::Endpoint* endpoint);
  void on_media(const model::Endpoint& endpoint, const picker::Decision& decision);

  MetricRegistry& registry_;
  LabelValues models_;
  std::array<Histogram*, 2> took_;
  std::array<Histogram*, 2> hit_ratio_;
  std::array<Histogram*, 2> hit_bytes_;
  Counter* media_queries_ = nullptr;
  Histogram* media_ratio_ = nullptr;
  // By an endpoint's generation, because cells of endpoints that left serve others.
  struct Place {
    std::uint32_t generation = 0;
    std::map<std::string, Pair, std::less<>> attempts;  // By model.
    Counter* media_hits = nullptr;
  };
  std::map<std::uint32_t, Place> places_;             // By slot.
  std::map<std::string, Pair, std::less<>> refused_;  // By model.
};

}  // namespace fairlead::extproc
