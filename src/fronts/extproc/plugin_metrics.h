// SPDX-License-Identifier: Apache-2.0
// PluginMetrics: how long each plugin of a decision takes, under the names of llm-d's Endpoint
// Picker. One clock reading a plugin, because the next begins where the last one ends.
// docs/metrics-epp.md documents the metric. Units: seconds. Threads: the worker's thread.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "core/scheduling/picker_config.h"
#include "core/scheduling/plugin_watch.h"
#include "io/net/steady_clock.h"

namespace fairlead::extproc {

class PluginMetrics final : public scheduling::PluginWatch {
 public:
  explicit PluginMetrics(MetricRegistry& registry) : registry_(registry) {}

  // Whose plugins run from here on: their types. Decisions with an older one may follow.
  void adopt(const scheduling::PickerConfig& config);

  void begin() override { began_ = clock_.now(); }
  void done(scheduling::PluginPoint point, std::size_t index, const std::string& name) override;

 private:
  struct Cell {
    std::string name;
    std::array<Histogram*, 2> cells{};  // Under its name of today, and the older one.
  };
  std::array<Histogram*, 2> register_plugin(scheduling::PluginPoint point, const std::string& name);

  MetricRegistry& registry_;
  net::SteadyClock clock_;
  Time began_{};
  std::map<std::string, std::string, std::less<>> types_;               // By name.
  std::array<std::vector<Cell>, scheduling::kPluginPointCount> cells_;  // By the plugin's index.
};

}  // namespace fairlead::extproc
