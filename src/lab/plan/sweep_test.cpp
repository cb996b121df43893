// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/sweep.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/random.h"
#include "core/picker/candidate_builder.h"
#include "core/scheduling/policy_config.h"
#include "lab/plan/sweep_report.h"
#include "lab/plan/sweep_runner.h"
#include "lab/world/testing/small_world.h"

namespace fairlead::plan {
namespace {

TEST(Rungs, SamplesAreHalvedWhileTheirSeedsDouble) {
  const auto told = [](Search search, std::size_t contenders, std::uint32_t seeds) {
    std::vector<std::pair<std::size_t, std::uint32_t>> rungs;
    for (const Rung& rung : rungs_of(search, contenders, seeds)) {
      rungs.emplace_back(rung.contenders, rung.seeds);
    }
    return rungs;
  };
  using Told = std::vector<std::pair<std::size_t, std::uint32_t>>;
  EXPECT_EQ(told(Search::kSamples, 33, 5), (Told{{33, 1}, {17, 2}, {9, 4}, {5, 5}}));
  EXPECT_EQ(told(Search::kSamples, 10, 8), (Told{{10, 1}, {5, 2}, {4, 4}, {4, 8}}));
  EXPECT_EQ(told(Search::kSamples, 3, 2), (Told{{3, 1}, {3, 2}}));
  EXPECT_EQ(told(Search::kSamples, 9, 1), (Told{{9, 1}}));
  EXPECT_EQ(told(Search::kGrid, 9, 5), (Told{{9, 5}}));
}

StudyPolicy named(std::string name) { return {std::move(name), nullptr}; }

// A world without a world: the policy "x" has TTFT 1 + (x - 3)^2 times what the seed does to all,
// and a little that it does to this one.
RunFigures made_run(const StudyPolicy& policy, std::size_t workload, std::uint64_t seed) {
  const double x = std::stod(policy.name);
  Random random(mix64(seed * 31 + workload));
  const double of_all = std::exp(random.normal());
  Random own(mix64(seed * 31 + workload) + static_cast<std::uint64_t>(x * 1000));
  const double ttft = of_all * (1 + (x - 3) * (x - 3)) * std::exp(0.05 * own.normal());
  RunFigures run;
  run.seed = seed;
  run.ttft.mean = ttft;
  run.ttft.percentiles[8] = 2 * ttft;
  run.ttft.percentiles[9] = 3 * ttft;
  return run;
}

struct Made {
  std::map<std::string, std::multiset<std::uint64_t>> seeds_had;  // By policy, of one workload.

  PolicyRunner runner() {
    return [this](std::span<const StudyPolicy> policies,
                  SeedRange seeds) -> Result<std::vector<RunGrid>> {
      std::vector<RunGrid> grids;
      for (const StudyPolicy& policy : policies) {
        RunGrid& grid = grids.emplace_back(2);
        for (std::uint32_t i = 0; i < seeds.count; ++i) {
          const std::uint64_t seed = 100 + seeds.first + i;
          seeds_had[policy.name].insert(seed);
          for (std::size_t workload = 0; workload < 2; ++workload) {
            grid[workload].push_back(made_run(policy, workload, seed));
          }
        }
      }
      return grids;
    };
  }
};

SweepResult made_sweep(Made& made, Search search, std::size_t kept = 0) {
  std::vector<StudyPolicy> contenders;
  for (int i = 0; i < 16; ++i) contenders.push_back(named(std::to_string(0.5 * i)));
  const StudyPolicy rivals[] = {named("5"), named("9")};
  auto result = run_sweep(contenders, rivals, {search, 6, 1, kept}, made.runner(), {});
  EXPECT_TRUE(result.has_value());
  return std::move(*result);
}

TEST(Sweep, TheBestIsFoundWithFewerRunsThanTheGridTakes) {
  Made made;
  const SweepResult halved = made_sweep(made, Search::kSamples);
  EXPECT_EQ(halved.front.front(), 6U) << "3";
  EXPECT_NEAR(halved.tried[6].score.geometric_mean, 0.2, 0.02) << "1 over the 5 of the rival";
  const SweepResult all = made_sweep(made, Search::kGrid);
  EXPECT_EQ(all.front.front(), 6U);
  for (const Tried& tried : all.tried) EXPECT_EQ(tried.seeds, 6U);
  std::size_t runs = 0;
  for (const Tried& tried : halved.tried) runs += tried.runs.front().size();
  EXPECT_LT(runs, 16U * 6 / 2);
  EXPECT_EQ(halved.tried[6].score.geometric_mean, all.tried[6].score.geometric_mean);
}

TEST(Sweep, NoSeedIsRunTwiceAndRivalsHaveThemAll) {
  Made made;
  const SweepResult result = made_sweep(made, Search::kSamples);
  for (const auto& [name, seeds] : made.seeds_had) {
    EXPECT_EQ(seeds.size(), std::set<std::uint64_t>(seeds.begin(), seeds.end()).size()) << name;
    EXPECT_EQ(*seeds.begin(), 100U) << name;
    EXPECT_EQ(*seeds.rbegin(), 99 + seeds.size()) << name << ": the first seeds, for pairing";
  }
  EXPECT_EQ(made.seeds_had["5"].size(), 6U);
  for (const std::size_t at : result.front) EXPECT_EQ(result.tried[at].seeds, 6U);
}

TEST(Sweep, WhatIsUsedTodayStaysToTheEndAndIsShown) {
  Made made;
  EXPECT_LT(made_sweep(made, Search::kSamples).tried[0].seeds, 6U) << "0 is far from the best";
  const SweepResult result = made_sweep(made, Search::kSamples, 1);
  EXPECT_EQ(result.tried[0].seeds, 6U);
  EXPECT_EQ(result.front.front(), 6U);
  EXPECT_EQ(result.shown.size(), result.front.size() + 1);
  EXPECT_EQ(result.shown.back(), 0U);
}

TEST(Sweep, TheFrontIsWhatNothingBeatsInMeanAndWorst) {
  const std::map<std::string, std::vector<double>> ttft = {
      {"rival", {1, 1}}, {"bold", {0.5, 1.5}}, {"even", {0.9, 0.9}}, {"poor", {1.2, 1.2}}};
  const PolicyRunner runner = [&](std::span<const StudyPolicy> policies,
                                  SeedRange) -> Result<std::vector<RunGrid>> {
    std::vector<RunGrid> grids;
    for (const StudyPolicy& policy : policies) {
      RunGrid& grid = grids.emplace_back();
      for (const double seconds : ttft.at(policy.name)) {
        RunFigures run;
        run.ttft.mean = run.ttft.percentiles[8] = run.ttft.percentiles[9] = seconds;
        grid.push_back({run});
      }
    }
    return grids;
  };
  const StudyPolicy contenders[] = {named("poor"), named("even"), named("bold")};
  const StudyPolicy rivals[] = {named("rival")};
  const auto result = run_sweep(contenders, rivals, {Search::kGrid, 1, 1}, runner, {});
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->front, (std::vector<std::size_t>{2, 1})) << "0.866 before 0.9";
  EXPECT_EQ(result->rival_scores.front().geometric_mean, 1);
}

TEST(Sweep, TheRunnersErrorEndsIt) {
  const StudyPolicy one[] = {named("1")};
  const auto result =
      run_sweep(one, one, {},
                [](std::span<const StudyPolicy>, SeedRange) -> Result<std::vector<RunGrid>> {
                  return fail(ErrorCode::kInvalidArgument, "no such day");
                },
                {});
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message, "no such day");
}

constexpr std::string_view kPlanted = R"yaml(
kind: EndpointPickerConfig
apiVersion: llm-d.ai/v1alpha1
plugins:
  - type: externality-cost-scorer
    parameters: {ownWeight: ${own:1}}
  - type: ${picker}
schedulingProfiles:
  - name: default
    plugins:
      - pluginRef: externality-cost-scorer
      - pluginRef: ${picker}
)yaml";

StudyPolicy built(const std::string& text) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Problems problems;
  config::Section root = config::Section::parse(text, "planted", problems);
  auto policy = scheduling::build_policy(root, registry, {picker::filled_columns()}, problems);
  EXPECT_FALSE(problems.has_errors()) << problems.to_string();
  return {"planted", std::move(policy.profile)};
}

Result<load::Workload> plan_short(std::uint64_t seed) {
  return world::testing::plan_shared_prefixes(seed, std::chrono::seconds(5));
}
Result<load::Workload> plan_shorter(std::uint64_t seed) {
  return world::testing::plan_shared_prefixes(seed, std::chrono::seconds(3));
}

SweepReport tiny_sweep(std::uint32_t threads) {
  SweepReport report;
  report.policy = "planted.yaml";
  report.template_text = kPlanted;
  const PolicyTemplate policy = PolicyTemplate::parse(kPlanted, "planted.yaml").value();
  const Variation variations[] = {parse_variation("picker=random-picker,max-score-picker").value(),
                                  parse_variation("own=0.0..4").value()};
  report.contenders = choose_contenders(policy, variations, 6, 1).value();
  report.rivals = {"random"};
  report.workloads = {"short", "shorter"};
  report.judged_on = {"other"};
  report.study.world.engines = 4;
  report.study.world.engine = world::testing::small_engine();
  report.study.router_block_tokens = 64;
  report.study.threads = threads;
  report.settings = {report.contenders.search, 2, 1, report.contenders.defaults};
  std::vector<StudyPolicy> contenders;
  for (const Parameters& one : report.contenders.list) {
    contenders.push_back(built(policy.fill(one).value()));
  }
  const StudyPolicy rivals[] = {
      built(policy.fill({{"picker", "random-picker"}}).value()),
  };
  const auto runner = runner_over({plan_short, plan_shorter}, report.study, {});
  report.result = run_sweep(contenders, rivals, report.settings, runner, {}).value();
  std::vector<StudyPolicy> chosen;
  for (const std::size_t at : report.result.shown) chosen.push_back(contenders[at]);
  const auto judging = runner_over({plan_short}, report.study, {});
  report.judgement = judge(chosen, rivals, report.settings, judging).value();
  return report;
}

TEST(Sweep, APlantedBestIsFoundInATinyWorld) {
  const SweepReport report = tiny_sweep(2);
  const std::size_t best = report.result.front.front();
  EXPECT_EQ(report.contenders.list[best][0].second, "max-score-picker");
  EXPECT_LT(report.result.tried[best].score.geometric_mean, 0.9);
  for (std::size_t at = 0; at < report.contenders.list.size(); ++at) {
    if (report.contenders.list[at][0].second != "random-picker") continue;
    EXPECT_NEAR(report.result.tried[at].score.geometric_mean, 1, 1e-9) << "it is the rival";
  }
  // Judged on a workload of the search, with the same seeds: the same figures.
  EXPECT_EQ(report.judgement.judged[0].score.by_seed[0],
            report.result.tried[best].score.by_seed[0]);
}

TEST(Sweep, TheLogDoesNotDependOnThreadsAndSaysEverythingTried) {
  const SweepReport report = tiny_sweep(1);
  const std::string log = sweep_json(report);
  EXPECT_EQ(log, sweep_json(tiny_sweep(3)));
  const auto json = nlohmann::json::parse(log);
  ASSERT_EQ(json["contenders"].size(), report.contenders.list.size());
  for (const auto& contender : json["contenders"]) {
    EXPECT_TRUE(contender["parameters"]["own"].is_number());
    EXPECT_EQ(contender["ratios"]["short"].size(), 3U);
  }
  const auto& best = json["contenders"][json["best"].get<std::size_t>()];
  EXPECT_EQ(best["by_seed"]["shorter"].size(), 2U);
  EXPECT_EQ(json["template"], std::string(kPlanted));
  EXPECT_EQ(json["validation"]["workloads"], nlohmann::json({"other"}));
  EXPECT_EQ(json["validation"]["contenders"][0]["contender"], json["best"]);
  EXPECT_EQ(json["rival_scores"][0]["rival"], "random");
  EXPECT_EQ(json["rival_scores"][0]["geometric_mean"], 1.0) << "it is the only one";
}

TEST(Sweep, ThePageMarksTheDefaults) {
  SweepReport report = tiny_sweep(2);
  const auto dots = [&report](std::size_t defaults) {
    report.contenders.defaults = defaults;
    const std::string page = sweep_html({}, report);
    const std::string dot = "<circle class=\"dot s2\"";
    std::size_t count = 0;
    for (auto at = page.find(dot); at != page.npos; at = page.find(dot, at + 1)) ++count;
    return count;
  };
  EXPECT_EQ(dots(0), 0U);
  EXPECT_GT(dots(report.contenders.list.size()), 1U) << "there is one in the legend";
}

TEST(Sweep, WhatIsJudgedStandsApart) {
  SweepReport report = tiny_sweep(2);
  const std::string best = name_of(report.contenders.list[report.result.front.front()]);
  const std::string table = sweep_table(report);
  const std::size_t apart = table.find("Validation: other. Nothing was chosen by these.");
  ASSERT_NE(apart, std::string::npos);
  EXPECT_LT(table.find(best), apart);
  EXPECT_NE(table.find(best, apart), std::string::npos);
  EXPECT_EQ(table.substr(0, apart).find("other "), std::string::npos);
  const std::string page = sweep_html({}, report);
  EXPECT_NE(page.find("<rect class=\"fill s1\""), std::string::npos) << "a point of the front";
  const std::size_t below = page.find("<h2>Validation</h2>");
  ASSERT_NE(below, std::string::npos);
  EXPECT_GT(page.find("<th scope=\"row\">other</th>"), below);
  EXPECT_EQ(page.find("<th scope=\"row\">shorter</th>", below), std::string::npos);
  report.judged_on.clear();
  EXPECT_EQ(sweep_table(report).find("Validation"), std::string::npos);
  EXPECT_TRUE(nlohmann::json::parse(sweep_json(report))["validation"].is_null());
}

}  // namespace
}  // namespace fairlead::plan
