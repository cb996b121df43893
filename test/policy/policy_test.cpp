// SPDX-License-Identifier: Apache-2.0
// What the shipped policies promise, proved in virtual time through the production picker: the
// published ladder comes out as published, and the default policy beats every other one on the
// whole conversation trace, at two cache sizes, over five paired seeds.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "core/picker/candidate_builder.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"
#include "embedded_data.h"
#include "lab/load/model/synthetic.h"
#include "lab/world/world.h"

namespace fairlead {
namespace {

constexpr std::uint64_t kSeeds = 5;
constexpr std::uint32_t kEngineBlock = 64;

scheduling::Profile shipped(std::string_view name) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Problems problems;
  config::Section root = config::Section::parse(scheduling::shipped_policy(name), name, problems);
  auto built = scheduling::build_policy(root, registry, {picker::filled_columns()}, problems);
  EXPECT_FALSE(problems.has_errors()) << problems.to_string();
  return std::move(*built.profile);
}

struct Means {
  double ttft_mean = 0;
  double ttft_p95 = 0;
  double output_rate = 0;
  double hit_rate = 0;
  double worst_ttft_mean = 0;
};

// One run a seed over workloads planned with that seed; the mean of each figure.
Means run_seeds(std::string_view policy, const std::vector<world::PreparedWorkload>& workloads,
                std::int64_t kv_tokens) {
  auto engine = app::find_engine_profile("qwen3-32b-2xh100");
  EXPECT_TRUE(engine.has_value());
  const scheduling::Profile profile = shipped(policy);
  Means means;
  const auto count = static_cast<double>(workloads.size());
  for (std::size_t i = 0; i < workloads.size(); ++i) {
    world::WorldSettings settings;
    settings.engine = *engine;
    settings.engine.kv_tokens = kv_tokens;
    settings.seed = i + 1;
    const world::WorldResult result = world::run_world(workloads[i], profile, settings);
    EXPECT_EQ(result.inflight_left, 0U);
    const auto summary = load::summarize(workloads[i].workload(), result.records, {});
    EXPECT_EQ(summary.overall.failed, 0U);
    means.ttft_mean += summary.overall.ttft.mean / count;
    means.ttft_p95 += summary.overall.ttft.p95() / count;
    means.output_rate += summary.overall.output_tokens_per_s / count;
    means.hit_rate += summary.overall.hit_rate / count;
    means.worst_ttft_mean = std::max(means.worst_ttft_mean, summary.overall.ttft.mean);
  }
  fmt::print(
      "{:<14} out {:>6.0f} tok/s  TTFT mean {:>7.3f} s (worst seed {:>7.3f})  p95 {:>8.3f} s"
      "  hit {:.3f}\n",
      policy, means.output_rate, means.ttft_mean, means.worst_ttft_mean, means.ttft_p95,
      means.hit_rate);
  return means;
}

// Published rows: simulated twin of the ladder, block 64, 43 us a token, load figures 50 ms old.
TEST(PublishedLadder, ThroughputOfEachPolicyComesOutAsPublished) {
  std::vector<world::PreparedWorkload> workloads;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    auto planned = load::plan_synthetic(load::b2b_settings(seed));
    ASSERT_TRUE(planned.has_value());
    workloads.emplace_back(std::move(*planned), kEngineBlock, kEngineBlock);
  }
  const auto rate = [&](std::string_view policy) {
    return run_seeds(policy, workloads, 307'328).output_rate;
  };
  EXPECT_NEAR(rate("random"), 7313, 7313 * 0.05);
  EXPECT_NEAR(rate("least-request"), 7822, 7822 * 0.05);
  const double blend = rate("blend");
  EXPECT_NEAR(blend, 12903, 12903 * 0.06);
  const double sticky = rate("sticky");
  EXPECT_GE(sticky, 10'000);
  EXPECT_LE(sticky, 12'200);
  EXPECT_GT(rate("fairlead"), std::max(blend, sticky));
}

class ConversationTrace : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(ConversationTrace, DefaultPolicyBeatsEveryOtherInMeanAndTail) {
  const auto trace = app::find_trace("mooncake_conversation");
  ASSERT_TRUE(trace.has_value()) << trace.error().message;
  std::vector<world::PreparedWorkload> workloads;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    load::ReplaySettings replay;
    replay.compression = 2;
    replay.seed = seed;
    auto planned = load::plan_replay(*trace, replay);
    ASSERT_TRUE(planned.has_value());
    workloads.emplace_back(std::move(*planned), kEngineBlock, 256);
  }
  fmt::print("caches of {} tokens\n", GetParam());
  const Means ours = run_seeds("fairlead", workloads, GetParam());
  for (const std::string_view other : scheduling::shipped_policy_names()) {
    if (other == "fairlead") continue;
    const Means theirs = run_seeds(other, workloads, GetParam());
    EXPECT_LT(ours.ttft_mean, theirs.ttft_mean) << other;
    EXPECT_LT(ours.ttft_p95, theirs.ttft_p95) << other;
  }
}

INSTANTIATE_TEST_SUITE_P(CacheSizes, ConversationTrace, ::testing::Values(307'328, 1'228'800));

}  // namespace
}  // namespace fairlead
