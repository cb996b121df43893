// SPDX-License-Identifier: Apache-2.0
// What a study found, as text for a console and as JSON. Pure; thread-safe. Failure: none.
#pragma once

#include <string>

#include "lab/plan/study.h"

namespace fairlead::plan {

// Why there is nothing to report, when no request was answered under any policy; else empty.
std::string nothing_answered(const StudyResult& result, const StudySettings& settings);
// One row a policy, means over the seeds, and the bounds below.
std::string study_table(const StudyResult& result);
// What no routing can beat, in one line.
std::string bounds_text(const Bounds& bounds);

// {"workload", "fleet", "policies": [{"policy", "mean", "worst_seed", "ratio_to_bound",
// "ratio_to_first" (not of the first), "seeds": [...]}], "bounds"}; latencies in seconds.
std::string study_json(const StudyResult& result, const StudySettings& settings);

}  // namespace fairlead::plan
