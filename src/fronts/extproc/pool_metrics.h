// SPDX-License-Identifier: Apache-2.0
// PoolMetrics: the metrics of a pool and its endpoints under the names of llm-d's Endpoint Picker,
// which autoscalers read, each beside its older name. Set from the tables just before they are
// exposed. docs/metrics-epp.md documents every metric.
// Threads: control's thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "base/metrics.h"
#include "base/time.h"
#include "core/fleet/load_table.h"
#include "io/fleet/fleet_worker.h"
#include "router/router.h"

namespace fairlead::extproc {

class PoolMetrics {
 public:
  // `pool` is the value of the label name. Both outlive this.
  PoolMetrics(router::Router& router, const std::string& pool);

  // `stale_after`: figures of endpoints that are older do not count.
  void refresh(Time now, Duration stale_after, const fleet::ReadFaults& faults);

 private:
  // One figure, over the endpoints.
  struct Spread {
    Gauge* average = nullptr;
    Gauge* average_before = nullptr;  // Under its older name.
    Gauge* deviation = nullptr;
    void set(double sum, double squares, double count) const;
  };
  struct EndpointCells {
    Gauge* queue = nullptr;
    Gauge* queue_before = nullptr;
    Gauge* requests = nullptr;
    Gauge* tokens = nullptr;
    std::uint64_t seen = 0;  // Which refresh() saw it last.
  };
  std::array<Counter*, 2> faults(const char* name, const char* help, Labels labels);
  Spread spread(const char* name, const char* help);
  EndpointCells& cells_of(const model::Endpoint& endpoint);

  router::Router& router_;
  Labels pool_;
  Spread kv_usage_;
  Spread queue_;
  Spread running_;
  Gauge* ready_;
  Gauge* ready_before_;
  Gauge* history_blocks_;
  Gauge* history_blocks_before_;
  // Each under its name of today and the older one.
  std::array<Counter*, 2> metrics_polls_;
  std::array<Counter*, 2> models_polls_;
  std::array<Counter*, 2> metrics_texts_;
  std::array<Counter*, 2> models_texts_;
  std::uint64_t refreshes_ = 0;
  std::map<std::string, EndpointCells> endpoints_;
};

}  // namespace fairlead::extproc
