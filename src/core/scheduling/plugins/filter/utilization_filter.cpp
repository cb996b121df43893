// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/utilization_filter.h"

#include <string>
#include <utility>
#include <vector>

namespace fairlead::scheduling {
namespace {

using Metric = std::vector<float> Candidates::*;

struct Condition {
  Metric metric;
  float max;
};

enum class OnEmpty { kNone, kAll };

class UtilizationFilter final : public Filter {
 public:
  UtilizationFilter(std::vector<Condition> conditions, OnEmpty on_empty)
      : conditions_(std::move(conditions)), on_empty_(on_empty) {}

  void narrow(const model::InferenceRequest&, const Candidates& table, Rows& rows,
              DecisionContext&) const override {
    const auto saturated = [&](std::uint32_t row) {
      for (const Condition& condition : conditions_) {
        if ((table.*condition.metric)[row] > condition.max) return true;
      }
      return false;
    };
    if (on_empty_ == OnEmpty::kAll) {
      bool any_left = false;
      for (const std::uint32_t row : rows) any_left = any_left || !saturated(row);
      if (!any_left) return;
    }
    std::erase_if(rows, saturated);
  }

 private:
  std::vector<Condition> conditions_;
  OnEmpty on_empty_;
};

Condition read_condition(config::Section& section) {
  const std::string metric = section.choice(
      "metric", "waiting-queue",
      {"active-requests", "running-requests", "waiting-queue", "kv-cache-utilization"});
  const double top = metric == "kv-cache-utilization" ? 1.0 : 1e9;
  if (!section.has("maxValue")) section.error("maxValue", "is required");
  const auto max = static_cast<float>(section.number("maxValue", top, 0, top));
  section.finish();
  if (metric == "active-requests") return {&Candidates::inflight_requests, max};
  if (metric == "running-requests") return {&Candidates::running, max};
  if (metric == "waiting-queue") return {&Candidates::waiting, max};
  return {&Candidates::kv_usage, max};
}

std::unique_ptr<Filter> create_utilization_filter(config::Section& parameters) {
  std::vector<Condition> conditions;
  for (config::Section& section : parameters.children("conditions")) {
    conditions.push_back(read_condition(section));
  }
  if (conditions.empty()) parameters.error("conditions", "needs at least one condition");
  const bool fallback = parameters.boolean("fallbackOnEmpty").value_or(false);
  return std::make_unique<UtilizationFilter>(std::move(conditions),
                                             fallback ? OnEmpty::kAll : OnEmpty::kNone);
}

}  // namespace

FilterSpec utilization_filter_spec() {
  return {"utilization-filter",
          Stability::kAlpha,
          {Column::kWaiting, Column::kRunning, Column::kKvUsage, Column::kInFlightRequests},
          create_utilization_filter};
}

}  // namespace fairlead::scheduling
