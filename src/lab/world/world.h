// SPDX-License-Identifier: Apache-2.0
// World: a fleet of engine models, one router and a workload in virtual time. The router is the
// production picker, scheduler and prefix history; only the clock and the wire are replaced, so an
// hour of trace takes about a second and the same seed gives the same bytes.
//
// Engines' load figures reach the router every `scrape_interval`; what the router did itself it
// knows at once, as in production. Thread-compatible: one run per call, nothing shared.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "core/scheduling/profile.h"
#include "lab/engine/model/engine_model.h"
#include "lab/load/model/accounting.h"
#include "lab/world/prepared_workload.h"

namespace fairlead::world {

struct WorldSettings {
  std::uint32_t engines = 8;
  engine::EngineProfile engine;
  Duration scrape_interval = std::chrono::milliseconds(50);
  // Prompt bytes of history kept per endpoint; 0 takes what the engine's KV cache holds.
  std::uint64_t history_bytes = 0;
  std::uint64_t seed = 1;
};

struct WorldResult {
  load::RunRecords records;
  std::uint64_t steps = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t inflight_left = 0;  // Requests the router still counts at the end: must be 0.
};

// Runs the whole workload to its end. `prepared` must have the engine's block size.
WorldResult run_world(const PreparedWorkload& prepared, const scheduling::Profile& policy,
                      const WorldSettings& settings);

}  // namespace fairlead::world
