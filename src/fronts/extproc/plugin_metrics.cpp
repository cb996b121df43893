// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/plugin_metrics.h"

#include <fmt/format.h>

namespace fairlead::extproc {
namespace {

using scheduling::PluginPoint;

// llm-d's bounds.
constexpr double kTookBounds[] = {.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1};

const char* to_string(PluginPoint point) {
  constexpr const char* kNames[] = {"Admission", "Filter", "Scorer", "Picker", "ResponseStreaming"};
  return kNames[static_cast<std::size_t>(point)];
}

}  // namespace

void PluginMetrics::adopt(const scheduling::PickerConfig& config) {
  for (const scheduling::PluginUse& plugin : config.plugins) types_[plugin.name] = plugin.type;
}

void PluginMetrics::done(PluginPoint point, std::size_t index, const std::string& name) {
  const Time now = clock_.now();
  std::vector<Cell>& known = cells_[static_cast<std::size_t>(point)];
  if (index >= known.size()) known.resize(index + 1);
  Cell& cell = known[index];
  if (cell.cells[0] == nullptr || cell.name != name) cell = {name, register_plugin(point, name)};
  for (Histogram* const one : cell.cells) one->observe(to_seconds(now - began_));
  began_ = now;
}

std::array<Histogram*, 2> PluginMetrics::register_plugin(PluginPoint point,
                                                         const std::string& name) {
  constexpr const char* kHelp = "Time that a plugin took for a request.";
  const auto type = types_.find(name);
  const Labels labels{{"extension_point", to_string(point)},
                      {"plugin_type", type == types_.end() ? name : type->second},
                      {"plugin_name", name}};
  return {&registry_.histogram("llm_d_epp_plugin_duration_seconds", kHelp, kTookBounds, labels),
          &registry_.histogram("inference_extension_plugin_duration_seconds",
                               fmt::format("Older name: {}", kHelp), kTookBounds, labels)};
}

}  // namespace fairlead::extproc
