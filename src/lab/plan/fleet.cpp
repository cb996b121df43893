// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/fleet.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "core/config/units.h"

namespace fairlead::plan {
namespace {

template <load::Distribution RunFigures::* values>
constexpr std::array<std::pair<std::string_view, Figure>, 5> kStatistics = {{
    {"mean", [](const RunFigures& run) { return (run.*values).mean; }},
    {"p50", [](const RunFigures& run) { return (run.*values).p50(); }},
    {"p90", [](const RunFigures& run) { return (run.*values).p90(); }},
    {"p95", [](const RunFigures& run) { return (run.*values).p95(); }},
    {"p99", [](const RunFigures& run) { return (run.*values).p99(); }},
}};

std::span<const std::pair<std::string_view, Figure>> statistics_of(std::string_view name) {
  if (name == "ttft") return kStatistics<&RunFigures::ttft>;
  if (name == "tpot") return kStatistics<&RunFigures::tpot>;
  if (name == "itl") return kStatistics<&RunFigures::itl>;
  if (name == "latency") return kStatistics<&RunFigures::request_latency>;
  return {};
}

Result<Limit> parse_limit(std::string_view entry) {
  const std::size_t equals = entry.find('=');
  const std::string_view name = entry.substr(0, equals);
  const std::size_t bar = name.rfind('_');
  Limit limit;
  limit.name = name;
  if (bar != std::string_view::npos) {
    for (const auto& [statistic, figure] : statistics_of(name.substr(0, bar))) {
      if (statistic == name.substr(bar + 1)) limit.figure = figure;
    }
  }
  const auto duration = equals == std::string_view::npos
                            ? std::nullopt
                            : config::parse_duration(entry.substr(equals + 1));
  if (limit.figure == nullptr || !duration || *duration <= Duration::zero()) {
    return fail(ErrorCode::kInvalidArgument,
                "{}: write ttft, itl, tpot or latency, _mean, _p50, _p90, _p95 or _p99, =, and a "
                "duration, as in ttft_p95=1s,itl_p95=50ms",
                entry);
  }
  limit.seconds = to_seconds(*duration);
  return limit;
}

class FleetSearch {
 public:
  FleetSearch(const Planner& planner, const StudyPolicy& policy, std::span<const Limit> limits,
              const FleetSettings& settings, const std::function<void(const FleetPoint&)>& told)
      : planner_(planner), policy_(policy), limits_(limits), settings_(settings), told_(told) {}

  Result<FleetPlan> go();

 private:
  // Whether so many engines are enough, with the one after it.
  Result<bool> enough(std::uint32_t engines);
  Result<bool> run(std::uint32_t engines);
  Result<std::uint32_t> least() const;

  const Planner& planner_;
  const StudyPolicy& policy_;
  std::span<const Limit> limits_;
  const FleetSettings& settings_;
  const std::function<void(const FleetPoint&)>& told_;
  std::map<std::uint32_t, FleetPoint> points_;
  std::string workload_;
};

// Fewer could not do the work in the time in which it arrives. Where it arrives all at once no
// number could.
Result<std::uint32_t> FleetSearch::least() const {
  auto workload = planner_(settings_.study.first_seed);
  if (!workload) return tl::unexpected(workload.error());
  const engine::EngineProfile& engine = settings_.study.world.engine;
  const world::PreparedWorkload prepared(std::move(*workload),
                                         static_cast<std::uint32_t>(engine.block_size),
                                         settings_.study.router_block_tokens);
  const double one = fluid_output_tokens_per_s(prepared, engine, 1);
  const double all = fluid_output_tokens_per_s(prepared, engine, settings_.engines_max);
  const double most = 0.999 * settings_.engines_max;
  const double engines = one > 0 && all < most * one ? std::floor(all / one) : 1;
  return static_cast<std::uint32_t>(
      std::clamp(engines, 1.0, static_cast<double>(settings_.engines_max)));
}

Result<bool> FleetSearch::run(std::uint32_t engines) {
  const auto found = points_.find(engines);
  if (found != points_.end()) return found->second.is_enough;
  StudySettings study = settings_.study;
  study.world.engines = engines;
  study.with_bounds = false;
  study.with_records = false;
  auto result = run_study(planner_, std::span(&policy_, 1), study, {});
  if (!result) return tl::unexpected(result.error());
  workload_ = result->workload;
  FleetPoint point;
  point.engines = engines;
  point.figures = std::move(result->policies.front());
  point.is_enough = !has_failures(point.figures);
  for (const Limit& limit : limits_) {
    point.worst.push_back(worst_of(point.figures, limit.figure));
    point.is_enough = point.is_enough && point.worst.back() <= limit.seconds;
  }
  const FleetPoint& kept = points_.emplace(engines, std::move(point)).first->second;
  if (told_) told_(kept);
  return kept.is_enough;
}

Result<bool> FleetSearch::enough(std::uint32_t engines) {
  auto is_enough = run(engines);
  if (!is_enough || !*is_enough || engines == settings_.engines_max) return is_enough;
  return run(engines + 1);
}

Result<FleetPlan> FleetSearch::go() {
  const auto least_engines = least();
  if (!least_engines) return tl::unexpected(least_engines.error());
  std::uint32_t small = 0;  // Too few.
  std::uint32_t large = *least_engines;
  bool found = false;
  for (;;) {
    const auto is_enough = enough(large);
    if (!is_enough) return tl::unexpected(is_enough.error());
    found = *is_enough;
    if (found || large == settings_.engines_max) break;
    small = large;
    large = std::min(2 * large, settings_.engines_max);
  }
  for (std::uint32_t step = 1; found && small == 0 && large > 1; step *= 2) {
    const std::uint32_t less = large > step ? large - step : 1;
    const auto is_enough = enough(less);
    if (!is_enough) return tl::unexpected(is_enough.error());
    (*is_enough ? large : small) = less;
  }
  while (found && large - small > 1) {
    const std::uint32_t middle = small + (large - small) / 2;
    const auto is_enough = enough(middle);
    if (!is_enough) return tl::unexpected(is_enough.error());
    (*is_enough ? large : small) = middle;
  }
  const std::uint32_t first = large > settings_.around ? large - settings_.around : 1;
  const std::uint32_t last = std::min(large + settings_.around, settings_.engines_max);
  for (std::uint32_t engines = first; found && engines <= last; ++engines) {
    if (const auto done = run(engines); !done) return tl::unexpected(done.error());
  }
  FleetPlan plan;
  plan.workload = workload_;
  if (found) plan.engines = large;
  for (auto& [engines, point] : points_) plan.points.push_back(std::move(point));
  return plan;
}

}  // namespace

Result<std::vector<Limit>> parse_limits(std::string_view text) {
  std::vector<Limit> limits;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    auto limit = parse_limit(text.substr(0, comma));
    if (!limit) return tl::unexpected(limit.error());
    const auto same = [&](const Limit& other) { return other.name == limit->name; };
    if (std::ranges::any_of(limits, same)) {
      return fail(ErrorCode::kInvalidArgument, "{} is given twice", limit->name);
    }
    limits.push_back(std::move(*limit));
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  if (limits.empty()) return fail(ErrorCode::kInvalidArgument, "no limit is given");
  return limits;
}

Result<FleetPlan> plan_fleet(const Planner& planner, const StudyPolicy& policy,
                             std::span<const Limit> limits, const FleetSettings& settings,
                             const std::function<void(const FleetPoint&)>& told) {
  return FleetSearch(planner, policy, limits, settings, told).go();
}

}  // namespace fairlead::plan
