// SPDX-License-Identifier: Apache-2.0
// Bounds: what no routing of a workload over a fleet can beat, for reports to show how much of the
// attainable a policy attains.
//   pooled, Belady  hit rates of one cache as large as all engines' together
//   (load/model/cache_bound) ttft floor      mean over the measured requests, when each meets an
//   idle engine that holds all
//                   that was ever computed before, in whole blocks
//   fluid           output tokens a second of the measured stages, when every engine is busy to the
//                   end with batches as large as its memory allows, prompts hit as in the pooled
//                   cache, and nobody waits; not more than what is offered
// Pure functions; thread-safe. Units: seconds and tokens of model time; shares in [0, 1].
#pragma once

#include <cstdint>

#include "lab/engine/model/profile.h"
#include "lab/world/prepared_workload.h"

namespace fairlead::plan {

struct Bounds {
  double pooled_hit_rate = 0;
  double belady_hit_rate = 0;
  double ttft_floor_s = 0;
  double fluid_output_tokens_per_s = 0;
};

// One of the bounds alone.
double fluid_output_tokens_per_s(const world::PreparedWorkload& prepared,
                                 const engine::EngineProfile& profile, std::uint32_t engines);
Bounds bounds_of(const world::PreparedWorkload& prepared, const engine::EngineProfile& profile,
                 std::uint32_t engines);

}  // namespace fairlead::plan
