// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/sweep_runner.h"

#include <utility>

namespace fairlead::plan {

PolicyRunner runner_over(std::vector<Planner> planners, StudySettings settings, Progress progress) {
  settings.with_bounds = false;
  settings.with_records = false;
  return [planners = std::move(planners), settings = std::move(settings),
          progress = std::move(progress)](std::span<const StudyPolicy> policies,
                                          SeedRange seeds) -> Result<std::vector<RunGrid>> {
    StudySettings study = settings;
    study.first_seed += seeds.first;
    study.seeds = seeds.count;
    auto results = run_studies(planners, policies, study, progress);
    if (!results) return tl::unexpected(results.error());
    std::vector<RunGrid> grids(policies.size());
    for (StudyResult& result : *results) {
      for (std::size_t i = 0; i < grids.size(); ++i) {
        grids[i].push_back(std::move(result.policies[i].runs));
      }
    }
    return grids;
  };
}

}  // namespace fairlead::plan
