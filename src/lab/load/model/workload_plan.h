// SPDX-License-Identifier: Apache-2.0
// Makes the requests of a workload file. All arrivals are planned before the run (an open loop): a
// session's next turn is due an assumed answer time and a think time after the one before, whether
// or not that has been answered. What a session's prompts repeat of its answers is planned too
// (PlannedRequest::answer_parts): a virtual engine gives those answers, so that its cache has
// them; over HTTP an engine gives its own, and the planned ones are new to it.
// The same specification and seed give the same workload, another seed other texts and arrivals.
// Pure; thread-safe.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "lab/load/model/trace.h"
#include "lab/load/model/workload.h"
#include "lab/load/model/workload_spec.h"

namespace fairlead::load {

// The trace that the specification replays; empty where it replays none.
std::string_view trace_of(const WorkloadSpec& spec);

// `trace` is what trace_of() names, and may be null where that is empty.
Result<Workload> plan_workload(const WorkloadSpec& spec, std::uint64_t seed, const Trace* trace);

}  // namespace fairlead::load
