// SPDX-License-Identifier: Apache-2.0
// World: a fleet of engine models, routers and a workload in virtual time. A router is the
// production picker and scheduler with the production prefix history or KV index; only the clock
// and the wire are replaced, so an hour of trace takes about a second and the same seed gives the
// same bytes.
//
//   arrival ─▶ a router decides ─ network_delay ─▶ engine ─▶ first token, end ─ network_delay ─▶
//   engine's load, every scrape_interval ─ scrape_delay ─▶ each router, one after the other
//   engine's stores and evictions, when a step begins ─ event_delay ─▶ all routers that listen
//   what a router sent where ─ exchange_delay ─▶ the other routers, if they tell each other
//
// What a router did itself it knows at once, as in production. A request that the policy or the
// engine refuses has a failed record. What engines tell of ends with a prompt's last whole block:
// nobody here asks for what was generated.
// Thread-compatible: one run per call, nothing shared.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"
#include "core/admission/waiting_band.h"
#include "core/scheduling/kv_event_settings.h"
#include "core/scheduling/profile.h"
#include "lab/engine/model/engine_model.h"
#include "lab/load/model/accounting.h"
#include "lab/world/gap_histogram.h"
#include "lab/world/prepared_workload.h"

namespace fairlead::world {

struct WorldSettings {
  std::uint32_t engines = 8;  // At most model::kMaxEndpoints.
  engine::EngineProfile engine;
  // How fast the engines are, in turn and over again, in (0, 1]: 1 is the profile's speed. Empty:
  // all are.
  std::vector<double> speeds{};
  Duration scrape_interval = std::chrono::milliseconds(50);
  // Prompt bytes of history kept per endpoint; 0 takes what the engine's KV cache holds. Without
  // effect where routers listen.
  std::uint64_t history_bytes = 0;
  // How long and how many a router lets wait where its policy binds late.
  admission::BandLimits waiting{4096, std::chrono::seconds(30)};
  std::uint64_t seed = 1;
  // Replicas that know of each other what engines' figures tell; each arrival comes to one of them
  // by chance.
  std::uint32_t routers = 1;
  // And, where they tell each other what they send where (router/replica_exchange.h), that, so long
  // after. Nothing: they do not.
  std::optional<Duration> exchange_delay{};
  // Exact knowledge: how routers listen, as a policy's configuration says (PickerConfig::events).
  // Nothing: they have their own history alone.
  std::optional<scheduling::KvEventSettings> events{};
  // One way: half of the 0.5 ms that a round trip takes within one zone of a cloud.
  Duration network_delay = std::chrono::microseconds(250);
  // Age of an engine's figures when they come: its API server writes them down in some
  // milliseconds.
  Duration scrape_delay = std::chrono::milliseconds(5);
  // From the begin of a step: the engine's publisher thread, the wire and the listener.
  Duration event_delay = std::chrono::milliseconds(2);
};

struct RouterResult {
  std::uint64_t requests = 0;
  std::uint64_t inflight_left = 0;  // Requests it still counts at the end: must be 0.
  std::uint64_t told_blocks = 0;    // Blocks that its index took in, each where it is held.
  // Prompt tokens that its decisions took for cached where they sent them, and by how many tokens
  // these guesses were wrong, each counted by itself.
  std::uint64_t predicted_tokens = 0;
  std::uint64_t misjudged_tokens = 0;
  // Of what it saw of others at any engine, at most: prompt tokens and running answers, summed.
  float others_most = 0;
};

struct WorldResult {
  load::RunRecords records;
  // Of measured stages, from step to step; waits of preempted sequences are not among them.
  GapHistogram gaps;
  double busy_s = 0;  // Of measured stages: time in steps, over all engines.
  std::uint64_t steps = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t inflight_left = 0;  // Over all routers.
  std::vector<RouterResult> routers;
};

// Runs the whole workload to its end. `prepared` must have the engine's block size.
WorldResult run_world(const PreparedWorkload& prepared, const scheduling::Profile& policy,
                      const WorldSettings& settings);

}  // namespace fairlead::world
