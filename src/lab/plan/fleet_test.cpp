// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/fleet.h"

#include <gtest/gtest.h>

#include "lab/world/testing/small_world.h"

namespace fairlead::plan {
namespace {

TEST(Limits, AreReadOrRefusedWithWhatToWrite) {
  const auto limits = parse_limits("ttft_p95=1s,latency_mean=2m,itl_p50=50ms");
  ASSERT_TRUE(limits.has_value());
  ASSERT_EQ(limits->size(), 3U);
  EXPECT_EQ((*limits)[0].name, "ttft_p95");
  EXPECT_EQ((*limits)[1].seconds, 120);
  RunFigures run;
  run.ttft.percentiles[8] = 7;
  run.itl.percentiles[5] = 8;
  EXPECT_EQ((*limits)[0].figure(run), 7);
  EXPECT_EQ((*limits)[2].figure(run), 8);
  for (const char* bad :
       {"", "ttft=1s", "ttft_p94=1s", "ttft_p95", "ttft_p95=1", "ttft_p95=0s", "ttft_p95=-1s",
        "speed_p95=1s", "ttft_p95=1s,,", "ttft_p95=1s,ttft_p95=2s", ",ttft_p95=1s"}) {
    EXPECT_FALSE(parse_limits(bad)) << bad;
  }
}

Result<load::Workload> plan_unique(std::uint64_t seed) {
  load::SyntheticSettings settings;
  settings.prompts = load::UniquePrompts{.prompt_tokens = 2000, .output_tokens = 50};
  settings.loop = load::OpenLoop{.arrivals = load::Arrivals::kPoisson,
                                 .stages = {{.rate = 40, .length = std::chrono::seconds(20)}},
                                 .pause = {}};
  settings.seed = seed;
  return load::plan_synthetic(settings);
}

StudyPolicy least_loaded() {
  return {"least-loaded", std::make_shared<scheduling::Profile>(
                              world::testing::scorer_profile("externality-cost-scorer"))};
}

FleetSettings small_fleet() {
  FleetSettings settings;
  engine::EngineProfile& engine = settings.study.world.engine;
  engine.name = "small";
  engine.model = "m";
  engine.kv_tokens = 20'000;
  engine.max_model_len = 8'192;
  engine.step_floor_s = 0.01;
  engine.per_token_s = 50e-6;  // A prompt takes 0.1 s: four engines are busy with 40 a second.
  settings.study.seeds = 2;
  settings.study.threads = 2;
  settings.engines_max = 32;
  return settings;
}

TEST(Fleet, WhatIsBeyondItsLimitByAHairLooksSo) {
  const auto limits = parse_limits("itl_p95=12ms,ttft_p95=2s");
  FleetPlan plan;
  for (const auto& worst : {std::vector{0.0120004, 2.00004}, std::vector{0.012, 1.99996}}) {
    FleetPoint& point = plan.points.emplace_back();
    point.figures.runs.resize(1);
    point.worst = worst;
  }
  const std::string table = fleet_table(plan, *limits);
  EXPECT_NE(table.find("12.0004 ms"), std::string::npos) << table;
  EXPECT_NE(table.find("2.00004 s"), std::string::npos) << table;
  EXPECT_NE(table.find("12.0 ms              2.000 s"), std::string::npos) << table;
}

TEST(Fleet, TheAnswerIsEnoughAndOneLessIsNot) {
  const auto limits = parse_limits("ttft_p95=500ms");
  std::vector<std::uint32_t> told;
  const auto plan = plan_fleet(plan_unique, least_loaded(), *limits, small_fleet(),
                               [&](const FleetPoint& point) { told.push_back(point.engines); });
  ASSERT_TRUE(plan.has_value());
  ASSERT_TRUE(plan->engines.has_value());
  EXPECT_GT(*plan->engines, 4U);
  EXPECT_LT(*plan->engines, 12U);
  EXPECT_EQ(told.front(), 4U) << "fewer could not do the work";
  EXPECT_EQ(told.size(), plan->points.size()) << "no size is run twice";
  for (std::size_t i = 0; i < plan->points.size(); ++i) {
    const FleetPoint& point = plan->points[i];
    if (i > 0) {
      EXPECT_GT(point.engines, plan->points[i - 1].engines);
    }
    if (point.engines + 1 == *plan->engines) {
      EXPECT_FALSE(point.is_enough);
    }
    if (point.engines == *plan->engines || point.engines == *plan->engines + 1) {
      EXPECT_TRUE(point.is_enough);
      EXPECT_LE(point.worst.front(), 0.5);
    }
  }
  EXPECT_NE(fleet_table(*plan, *limits).find("engines are needed."), std::string::npos);
}

TEST(Fleet, WhatNoNumberOfEnginesReachesIsSaid) {
  const auto limits = parse_limits("ttft_p50=50ms");  // A prompt alone takes twice that.
  const auto plan = plan_fleet(plan_unique, least_loaded(), *limits, small_fleet(), {});
  ASSERT_TRUE(plan.has_value());
  EXPECT_FALSE(plan->engines.has_value());
  EXPECT_EQ(plan->points.back().engines, 32U);
  EXPECT_NE(fleet_table(*plan, *limits).find("32 engines are not enough."), std::string::npos);
}

TEST(Fleet, FewerThanTheFirstGuessMayBeEnough) {
  const auto limits = parse_limits("ttft_p95=1h");
  const auto plan = plan_fleet(plan_unique, least_loaded(), *limits, small_fleet(), {});
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->engines, 1U);
  EXPECT_NE(fleet_table(*plan, *limits).find("1 engine is needed."), std::string::npos);
}

TEST(Fleet, WhatArrivesAllAtOnceIsTriedFromOneEngineOn) {
  const auto limits = parse_limits("ttft_p95=3s");
  const auto at_once = [](std::uint64_t seed) {
    auto workload = plan_unique(seed);
    for (load::PlannedRequest& request : workload->requests) request.at = {};
    workload->requests.resize(100);
    workload->stages.front().request_count = 100;
    return workload;
  };
  const auto plan = plan_fleet(at_once, least_loaded(), *limits, small_fleet(), {});
  ASSERT_TRUE(plan.has_value());
  EXPECT_GT(plan->engines, 1U);
  EXPECT_LE(plan->engines, 8U) << "10 s of work, ended in 3";
}

TEST(Fleet, RequestsThatFailAreNotEnough) {
  const auto limits = parse_limits("ttft_p95=1h");
  FleetSettings settings = small_fleet();
  settings.study.world.engine.max_model_len = 1000;
  const auto plan = plan_fleet(plan_unique, least_loaded(), *limits, settings, {});
  ASSERT_TRUE(plan.has_value());
  EXPECT_FALSE(plan->engines.has_value());
  EXPECT_NE(fleet_table(*plan, *limits).find("fail at every size"), std::string::npos);
}

}  // namespace
}  // namespace fairlead::plan
