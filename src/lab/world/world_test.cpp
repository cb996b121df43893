// SPDX-License-Identifier: Apache-2.0
#include "lab/world/world.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/scheduling/catalog.h"
#include "core/scheduling/testing/table.h"
#include "lab/load/model/synthetic.h"

namespace fairlead::world {
namespace {

engine::EngineProfile small_engine() {
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

PreparedWorkload shared_prefixes(std::uint64_t seed) {
  load::SyntheticSettings settings;
  settings.prompts = load::SharedPrefixPrompts{.groups = 24,
                                               .prompts_per_group = 2,
                                               .system_tokens = 1500,
                                               .question_tokens = 200,
                                               .output_tokens = 60};
  settings.loop = load::OpenLoop{.arrivals = load::Arrivals::kPoisson,
                                 .stages = {{.rate = 30, .length = std::chrono::seconds(20)}},
                                 .pause = {}};
  settings.seed = seed;
  return PreparedWorkload(*load::plan_synthetic(settings), 64, 64);
}

scheduling::Profile scorer_profile(std::string_view type) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  scheduling::Profile profile;
  profile.kind = registry.scorer(type)->kind;
  profile.scorers.push_back(
      {std::string(type), scheduling::testing::make(registry.scorer(type)), 1});
  profile.picker = scheduling::testing::make(registry.picker("max-score-picker"));
  return profile;
}

WorldResult run(std::string_view scorer, std::uint64_t seed) {
  WorldSettings settings;
  settings.engines = 4;
  settings.engine = small_engine();
  settings.seed = seed;
  return run_world(shared_prefixes(7), scorer_profile(scorer), settings);
}

TEST(World, TheSameSeedGivesTheSameBytes) {
  const WorldResult a = run("externality-cost-scorer", 3);
  const WorldResult b = run("externality-cost-scorer", 3);
  ASSERT_EQ(a.records.requests.size(), b.records.requests.size());
  EXPECT_EQ(a.steps, b.steps);
  for (std::size_t i = 0; i < a.records.requests.size(); ++i) {
    const load::RequestRecord& left = a.records.requests[i];
    const load::RequestRecord& right = b.records.requests[i];
    ASSERT_EQ(left.first_token, right.first_token) << i;
    ASSERT_EQ(left.finished, right.finished) << i;
    ASSERT_EQ(left.endpoint, right.endpoint) << i;
  }
}

TEST(World, EveryRequestEndsOnceWithAllItsTokensAndNothingIsLeftInFlight) {
  const WorldResult result = run("active-request-scorer", 1);
  EXPECT_EQ(result.inflight_left, 0U);
  for (const load::RequestRecord& record : result.records.requests) {
    EXPECT_EQ(record.outcome, load::Outcome::kOk);
    EXPECT_EQ(record.output_tokens, 60U);
    EXPECT_LE(record.sent, record.first_token);
    EXPECT_LE(record.first_token, record.finished);
    EXPECT_LT(record.cached_tokens, record.prompt_tokens);
  }
}

TEST(World, PrefixAwareRoutingFindsTheCacheAndBlindRoutingDoesNot) {
  const PreparedWorkload prepared = shared_prefixes(7);
  const auto hit_rate = [&](std::string_view scorer) {
    return load::summarize(prepared.workload(), run(scorer, 1).records, {}).overall.hit_rate;
  };
  const double aware = hit_rate("externality-cost-scorer");
  const double blind = hit_rate("active-request-scorer");
  EXPECT_GT(aware, 0.8);
  EXPECT_LT(blind, aware - 0.2);
}

}  // namespace
}  // namespace fairlead::world
