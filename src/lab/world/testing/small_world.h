// SPDX-License-Identifier: Apache-2.0
// For tests of this room and of those that stand on it: a small engine, a workload of shared
// prefixes that outgrows its cache, and policies of one scorer. Header only; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/scheduling/catalog.h"
#include "core/scheduling/testing/table.h"
#include "lab/engine/model/profile.h"
#include "lab/load/model/synthetic.h"

namespace fairlead::world::testing {

inline engine::EngineProfile small_engine() {
  engine::EngineProfile profile;
  profile.name = "small";
  profile.model = "m";
  profile.kv_tokens = 20'000;
  profile.max_model_len = 8'192;
  profile.step_floor_s = 0.0105;
  profile.per_token_s = 43e-6;
  profile.attention_s = 1.5e-9;
  profile.kv_read_s = 46e-9;
  profile.per_sequence_s = 20e-6;
  profile.host_overhead_s = 0.03;
  return profile;
}

inline Result<load::Workload> plan_shared_prefixes(std::uint64_t seed, Duration length) {
  load::SyntheticSettings settings;
  settings.prompts = load::SharedPrefixPrompts{.groups = 24,
                                               .prompts_per_group = 2,
                                               .system_tokens = 1500,
                                               .question_tokens = 200,
                                               .output_tokens = 60};
  settings.loop = load::OpenLoop{.arrivals = load::Arrivals::kPoisson,
                                 .stages = {{.rate = 30, .length = length}},
                                 .pause = {}};
  settings.seed = seed;
  return load::plan_synthetic(settings);
}

inline scheduling::Profile scorer_profile(std::string_view type) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  scheduling::Profile profile;
  profile.kind = registry.scorer(type)->kind;
  profile.reads = registry.scorer(type)->reads;
  profile.scorers.push_back(
      {std::string(type), scheduling::testing::make(registry.scorer(type)), 1});
  profile.picker = scheduling::testing::make(registry.picker("max-score-picker"));
  return profile;
}

}  // namespace fairlead::world::testing
