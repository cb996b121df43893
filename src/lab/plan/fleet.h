// SPDX-License-Identifier: Apache-2.0
// Fleet: how many engines a workload needs under a policy so that its latencies stay within limits
// in every seed, and what they are with fewer and with more.
//
// Sizes are tried upwards from the least that could do the work as it arrives (the fluid bound),
// doubling, until one is enough; if the first is, downwards in the same way; then halfway between
// the largest that was too small and the smallest that was enough. A size counts as enough only
// when no request fails, and when the next one up is enough too, because latencies may rise with
// another engine by bad luck of placement. Sizes around the answer are run for the curve.
// Units: seconds of model time. Errors: the planner's. Threads: as run_study().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/plan/study.h"

namespace fairlead::plan {

struct Limit {
  std::string name;  // As "ttft_p95".
  Figure figure = nullptr;
  double seconds = 0;
};

// "ttft_p95=1s,tpot_p95=50ms": ttft, tpot, itl or latency, with mean, p50, p90, p95 or p99.
Result<std::vector<Limit>> parse_limits(std::string_view text);

struct FleetSettings {
  StudySettings study;  // Its number of engines is replaced.
  std::uint32_t engines_max = 1024;
  std::uint32_t around = 2;  // Sizes on either side of the answer that are run, too.
};

struct FleetPoint {
  std::uint32_t engines = 0;
  PolicyFigures figures;
  std::vector<double> worst;  // Of each limit's figure, the worst seed's.
  bool is_enough = false;
};

struct FleetPlan {
  std::string workload;
  std::vector<FleetPoint> points;        // By number of engines.
  std::optional<std::uint32_t> engines;  // Nothing: not even engines_max are enough.
};

Result<FleetPlan> plan_fleet(const Planner& planner, const StudyPolicy& policy,
                             std::span<const Limit> limits, const FleetSettings& settings,
                             const std::function<void(const FleetPoint&)>& told);

std::string fleet_table(const FleetPlan& plan, std::span<const Limit> limits);
std::string fleet_json(const FleetPlan& plan, std::span<const Limit> limits);

}  // namespace fairlead::plan
