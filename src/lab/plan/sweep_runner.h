// SPDX-License-Identifier: Apache-2.0
// Runs a sweep's policies in virtual time. Errors: the planners'. Threads: as run_studies().
#pragma once

#include <vector>

#include "lab/plan/sweep.h"

namespace fairlead::plan {

// One planner a workload, at least one. Of `settings` the seeds are replaced, but count on from its
// first.
PolicyRunner runner_over(std::vector<Planner> planners, StudySettings settings, Progress progress);

}  // namespace fairlead::plan
