// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lab/load/model/number_text.h"
#include "lab/load/model/text_table.h"
#include "lab/plan/fleet.h"

namespace fairlead::plan {
namespace {

constexpr int kMoreDigitsMax = 6;

std::string shown(double seconds, int more_digits = 0) {
  return seconds < 1 ? fmt::format("{:.{}f} ms", seconds * 1000, 1 + more_digits)
                     : fmt::format("{:.{}f} s", seconds, 3 + more_digits);
}

// What is beyond its limit looks so.
std::string shown_beside(double seconds, double limit) {
  int more_digits = 0;
  while (seconds > limit && more_digits < kMoreDigitsMax &&
         shown(seconds, more_digits) == shown(limit, more_digits)) {
    ++more_digits;
  }
  return shown(seconds, more_digits);
}

}  // namespace

std::string fleet_table(const FleetPlan& plan, std::span<const Limit> limits) {
  load::TextTable table;
  std::vector<std::string> head = {"engines"};
  for (const Limit& limit : limits) {
    head.push_back(fmt::format("{} <= {}", limit.name, shown(limit.seconds)));
  }
  head.insert(head.end(), {"TTFT mean", "hit %", "output tok/s", "failed", "enough"});
  table.row(std::move(head));
  table.rule();
  for (const FleetPoint& point : plan.points) {
    std::vector<std::string> cells = {fmt::format("{}", point.engines)};
    for (std::size_t i = 0; i < limits.size(); ++i) {
      cells.push_back(shown_beside(point.worst[i], limits[i].seconds));
    }
    cells.push_back(shown(mean_of(point.figures, ttft_mean)));
    cells.push_back(fmt::format("{:.1f}", mean_of(point.figures, hit_rate) * 100));
    cells.push_back(load::group_digits(mean_of(point.figures, output_rate)));
    cells.push_back(load::group_digits(mean_of(point.figures, failed)));
    cells.emplace_back(point.is_enough ? "yes" : "no");
    table.row(std::move(cells));
  }
  const std::uint32_t count = plan.engines.value_or(plan.points.back().engines);
  const std::string engines = fmt::format("{} engine{}", count, count == 1 ? " is" : "s are");
  const std::string answer = plan.engines ? engines + " needed.\n" : engines + " not enough.\n";
  const std::string_view note =
      std::ranges::any_of(plan.points, has_failures, &FleetPoint::figures)
          ? "No size at which requests fail is enough; those too long for an engine fail "
            "at every size (--profile, --kv-tokens).\n"
          : "";
  return table.text() + std::string(note) +
         "Limits are judged by the worst seed, other figures are means.\n" + answer;
}

std::string fleet_json(const FleetPlan& plan, std::span<const Limit> limits) {
  using Json = nlohmann::ordered_json;
  Json json = {{"workload", plan.workload}};
  json["engines_needed"] = plan.engines ? Json(*plan.engines) : Json();
  json["limits"] = Json::object();
  for (const Limit& limit : limits) json["limits"][limit.name + "_s"] = limit.seconds;
  json["points"] = Json::array();
  for (const FleetPoint& point : plan.points) {
    Json entry = {{"engines", point.engines}, {"is_enough", point.is_enough}};
    for (std::size_t i = 0; i < limits.size(); ++i) {
      entry["worst_seed"][limits[i].name + "_s"] = point.worst[i];
    }
    entry["ttft_mean_s"] = mean_of(point.figures, ttft_mean);
    entry["hit_rate"] = mean_of(point.figures, hit_rate);
    entry["failed"] = mean_of(point.figures, failed);
    entry["output_tokens_per_s"] = mean_of(point.figures, output_rate);
    json["points"].push_back(std::move(entry));
  }
  return json.dump(2) + "\n";
}

}  // namespace fairlead::plan
