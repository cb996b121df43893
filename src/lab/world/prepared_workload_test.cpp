// SPDX-License-Identifier: Apache-2.0
#include "lab/world/prepared_workload.h"

#include <gtest/gtest.h>

#include "lab/engine/model/engine_model.h"
#include "lab/load/model/workload_plan.h"

namespace fairlead::world {
namespace {

engine::EngineProfile roomy_engine() {
  engine::EngineProfile profile;
  profile.name = "small";
  profile.model = "m";
  profile.kv_tokens = 16'000;
  profile.block_size = 16;
  profile.max_model_len = 8'000;
  profile.step_floor_s = 0.01;
  return profile;
}

// Prompt tokens that the engine found in its cache.
std::uint32_t serve(const PreparedWorkload& prepared, std::uint32_t index,
                    engine::EngineModel& model) {
  const load::PlannedRequest& request = prepared.workload().requests[index];
  const auto id = model.submit({.block_hashes = prepared.keys(index).engine,
                                .prompt_tokens = request.prompt_tokens,
                                .output_tokens = request.output_tokens,
                                .output_seed = index + 1ULL},
                               Time{});
  EXPECT_TRUE(id.has_value());
  std::vector<engine::TokenEvent> events;
  for (Time now{}; !model.idle(); now += std::chrono::seconds(1)) {
    if (model.begin_step(now)) model.finish_step(events);
  }
  return events.front().cached_tokens;
}

TEST(PreparedWorkload, ATurnFindsThePromptAndTheAnswerOfTheOneBefore) {
  const auto spec = load::parse_workload(
      "{name: t, about: a, use: train, kind: sessions, system: {tokens: 300}, turns: 3, input: 50,"
      " output: 100, think_s: 1, arrivals: {process: constant}, rate: 0.03, length_s: 90}",
      "t.yaml");
  const PreparedWorkload prepared(load::plan_workload(*spec, 1, nullptr).value(), 16, 32);
  ASSERT_EQ(prepared.workload().requests.size(), 3u);
  engine::EngineModel model(roomy_engine(), 1);
  EXPECT_EQ(serve(prepared, 0, model), 0u);
  // 350 + 100 tokens were there, the last of which has no KV: 28 blocks of 16.
  EXPECT_EQ(serve(prepared, 1, model), 448u);
  EXPECT_EQ(serve(prepared, 2, model), 592u);  // 500 + 100, 37 blocks.
  // The router is asked about prompts: 350 tokens are ten of its blocks.
  EXPECT_EQ(prepared.keys(0).router.size(), 10u);
}

}  // namespace
}  // namespace fairlead::world
