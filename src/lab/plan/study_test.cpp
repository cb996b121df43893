// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/study.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "lab/plan/static_partition.h"
#include "lab/plan/study_report.h"
#include "lab/world/testing/small_world.h"

namespace fairlead::plan {
namespace {

using world::testing::small_engine;

Result<load::Workload> plan_groups(std::uint64_t seed) {
  return world::testing::plan_shared_prefixes(seed, std::chrono::seconds(10));
}

StudyPolicy of_scorer(std::string_view type) {
  return {std::string(type),
          std::make_shared<scheduling::Profile>(world::testing::scorer_profile(type))};
}

StudyResult study(std::uint32_t threads) {
  StudySettings settings;
  settings.world.engines = 4;
  settings.world.engine = small_engine();
  settings.router_block_tokens = 64;
  settings.seeds = 3;
  settings.threads = threads;
  const StudyPolicy policies[] = {of_scorer("prefix-cache-scorer"),
                                  of_scorer("externality-cost-scorer")};
  std::size_t told = 0;
  auto result = run_study(plan_groups, policies, settings, [&](std::size_t done, std::size_t all) {
    EXPECT_EQ(all, 9U);
    EXPECT_EQ(done, ++told);
  });
  EXPECT_TRUE(result.has_value());
  EXPECT_EQ(told, 9U);
  return std::move(*result);
}

TEST(Study, FiguresDoNotDependOnThreads) {
  StudyResult one = study(1);
  StudyResult three = study(3);
  for (StudyResult* result : {&one, &three}) {
    for (PolicyFigures& policy : result->policies) {
      for (RunFigures& run : policy.runs) run.cpu_s = 0;
    }
  }
  EXPECT_EQ(study_json(one, {}), study_json(three, {}));
  EXPECT_EQ(one.policies.front().runs[2].seed, 3U);
  EXPECT_NE(one.policies.front().runs[0].ttft.mean, one.policies.front().runs[1].ttft.mean);
}

TEST(Study, TheFirstSeedsSummaryHasTheGapsBetweenTokens) {
  const StudyResult result = study(2);
  for (const PolicyFigures& policy : result.policies) {
    EXPECT_GT(policy.runs[0].itl.p50(), 0);
    EXPECT_EQ(policy.summary.overall.token_interval.p50(), policy.runs[0].itl.p50());
  }
}

TEST(Study, NobodyPassesTheBounds) {
  const StudyResult result = study(2);
  ASSERT_EQ(result.policies.size(), 3U);
  EXPECT_EQ(result.policies.back().policy, kStaticPartition);
  for (const PolicyFigures& policy : result.policies) {
    for (std::size_t seed = 0; seed < result.bounds.size(); ++seed) {
      const RunFigures& run = policy.runs[seed];
      const Bounds& bounds = result.bounds[seed];
      EXPECT_EQ(run.failed, 0U);
      EXPECT_GT(run.ttft.mean, bounds.ttft_floor_s);
      EXPECT_LE(run.hit_rate, bounds.belady_hit_rate);
      EXPECT_LE(run.output_tokens_per_s, bounds.fluid_output_tokens_per_s);
      EXPECT_LE(bounds.pooled_hit_rate, bounds.belady_hit_rate);
      EXPECT_GE(run.imbalance, 1);
      EXPECT_GT(run.utilisation, 0);
      EXPECT_LE(run.utilisation, 1);
    }
  }
}

TEST(StudyJson, PairsEachPolicyWithTheFirst) {
  const StudyResult result = study(2);
  const auto json = nlohmann::json::parse(study_json(result, {}));
  EXPECT_FALSE(json["policies"][0].contains("ratio_to_first"));
  const auto& ratio = json["policies"][1]["ratio_to_first"]["ttft_p95"];
  std::vector<double> ratios;
  for (std::size_t seed = 0; seed < 3; ++seed) {
    ratios.push_back(result.policies[1].runs[seed].ttft.p95() /
                     result.policies[0].runs[seed].ttft.p95());
  }
  std::ranges::sort(ratios);
  EXPECT_DOUBLE_EQ(ratio["median"].get<double>(), ratios[1]);
  EXPECT_DOUBLE_EQ(ratio["worst"].get<double>(), ratios[2]);
  EXPECT_NEAR(ratio["mean"].get<double>(), std::cbrt(ratios[0] * ratios[1] * ratios[2]), 1e-12);
  EXPECT_LE(ratio["low"], ratio["mean"]);
  EXPECT_GE(ratio["high"], ratio["mean"]);
}

TEST(StudyJson, LeavesOutTheRatioOfAFigureThatARunHasNot) {
  StudyResult result = study(2);
  result.policies[1].runs[2].ttft = {};
  const auto json = nlohmann::json::parse(study_json(result, {}));
  EXPECT_TRUE(json["policies"][1]["ratio_to_first"].empty());
  EXPECT_FALSE(json["policies"][2]["ratio_to_first"].empty());
}

TEST(StudyJson, TellsTheStagesOfALadder) {
  StudyResult result = study(2);
  RunFigures& run = result.policies[0].runs[0];
  ASSERT_EQ(run.stages.size(), 1U);
  EXPECT_EQ(run.stages.front().requests, run.requests);
  EXPECT_EQ(run.stages.front().ttft_mean, run.ttft.mean);
  EXPECT_EQ(run.stages.front().ttft_p90, run.ttft.p90());
  run.stages.push_back({.rate = 20, .requests = 7});
  const auto seeds = nlohmann::json::parse(study_json(result, {}))["policies"][0]["seeds"];
  EXPECT_EQ(seeds[0]["stages"][1]["rate"], 20);
  EXPECT_EQ(seeds[0]["stages"][1]["requests"], 7);
  EXPECT_FALSE(seeds[1].contains("stages")) << "one stage is the run itself";
}

TEST(Study, APlannerThatFailsEndsIt) {
  const StudyPolicy policies[] = {of_scorer("prefix-cache-scorer")};
  StudySettings settings;
  settings.world.engine = small_engine();
  const auto result = run_study(
      [](std::uint64_t) -> Result<load::Workload> {
        return fail(ErrorCode::kInvalidArgument, "no such day");
      },
      policies, settings, {});
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message, "no such day");
}

load::Workload one_prompt(std::uint32_t tokens, std::uint32_t times) {
  load::Workload workload;
  workload.parts = {{7, tokens}};
  workload.stages = {{.name = "all", .length = std::chrono::seconds(1)}};
  for (std::uint32_t i = 0; i < times; ++i) {
    load::PlannedRequest request;
    request.prompt_tokens = tokens;
    request.output_tokens = 10;
    request.part_count = 1;
    workload.requests.push_back(request);
  }
  workload.stages.front().request_count = times;
  return workload;
}

TEST(Bounds, ByHand) {
  engine::EngineProfile engine;
  engine.kv_tokens = 10'000;
  engine.per_token_s = 1e-3;
  engine.host_overhead_s = 0.5;
  engine.max_batched_tokens = 64;
  const world::PreparedWorkload twice(one_prompt(129, 2), 64, 64);
  const Bounds bounds = bounds_of(twice, engine, 2);
  // Cold: chunks of 64, 64 and 1; warm: the last token.
  EXPECT_NEAR(bounds.ttft_floor_s, 0.5 + (0.129 + 0.001) / 2, 1e-9);
  EXPECT_DOUBLE_EQ(bounds.pooled_hit_rate, 128.0 / 258);
  // Nothing takes less than the second in which it arrives.
  EXPECT_DOUBLE_EQ(bounds.fluid_output_tokens_per_s, 20);
  engine.per_token_s = 1;
  const Bounds slow = bounds_of(twice, engine, 2);
  EXPECT_NEAR(slow.fluid_output_tokens_per_s, 20 / ((258 - 128 + 20) / 2.0), 1e-9);
}

TEST(StaticPartition, GroupsOfUnequalWorkAreSpreadEvenly) {
  load::Workload workload;
  workload.group_count = 4;
  workload.stages = {{.name = "all", .length = std::chrono::seconds(1)}};
  const std::uint32_t answers[] = {50, 40, 30, 20};
  for (std::uint32_t group = 0; group < 4; ++group) {
    load::PlannedRequest request;
    request.prompt_tokens = 64;
    request.output_tokens = answers[group];
    request.first_part = group;
    request.part_count = 1;
    request.group = group;
    workload.parts.push_back({group + 1, 64});
    workload.requests.push_back(request);
  }
  workload.stages.front().request_count = 4;
  world::WorldSettings world;
  world.engines = 2;
  world.engine = small_engine();
  const world::PreparedWorkload prepared(workload, 64, 64);
  const auto profile = static_partition(prepared, 2);
  ASSERT_TRUE(profile.has_value());
  world.engine.block_size = 64;
  const auto records = world::run_world(prepared, *profile, world).records;
  EXPECT_EQ(records.requests[0].endpoint, records.requests[3].endpoint) << "50 + 20";
  EXPECT_EQ(records.requests[1].endpoint, records.requests[2].endpoint) << "40 + 30";
  EXPECT_NE(records.requests[0].endpoint, records.requests[1].endpoint);

  workload.parts[1] = workload.parts[0];
  EXPECT_FALSE(static_partition(world::PreparedWorkload(workload, 64, 64), 2))
      << "they begin alike";
  workload.group_count = 0;
  EXPECT_FALSE(static_partition(world::PreparedWorkload(workload, 64, 64), 2));
}

}  // namespace
}  // namespace fairlead::plan
