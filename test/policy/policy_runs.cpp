// SPDX-License-Identifier: Apache-2.0
#include "policy_runs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "core/picker/candidate_builder.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"
#include "embedded_data.h"
#include "lab/load/model/synthetic.h"
#include "lab/world/world.h"

namespace fairlead {
namespace {

constexpr std::uint32_t kEngineBlock = 64;

scheduling::Profile profile_of(std::string_view policy) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  const std::string_view shipped = scheduling::shipped_policy(policy);
  config::Problems problems;
  config::Section root =
      config::Section::parse(shipped.empty() ? policy : shipped, "policy", problems);
  auto built = scheduling::build_policy(root, registry, {picker::filled_columns()}, problems);
  EXPECT_FALSE(problems.has_errors()) << problems.to_string();
  return std::move(*built.profile);
}

double imbalance(const load::Summary& summary) {
  double most = 0, sum = 0;
  for (const load::EndpointShare& share : summary.endpoints) {
    most = std::max(most, static_cast<double>(share.requests));
    sum += static_cast<double>(share.requests);
  }
  return most * static_cast<double>(summary.endpoints.size()) / sum;
}

}  // namespace

std::vector<world::PreparedWorkload> ladders(std::uint64_t seeds) {
  std::vector<world::PreparedWorkload> workloads;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    auto planned = load::plan_synthetic(load::b2b_settings(seed));
    EXPECT_TRUE(planned.has_value());
    workloads.emplace_back(std::move(*planned), kEngineBlock, kEngineBlock);
  }
  return workloads;
}

std::vector<world::PreparedWorkload> conversations(std::uint64_t seeds, double compression) {
  const auto trace = app::find_trace("mooncake_conversation");
  EXPECT_TRUE(trace.has_value()) << trace.error().message;
  std::vector<world::PreparedWorkload> workloads;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    load::ReplaySettings replay;
    replay.compression = compression;
    replay.seed = seed;
    auto planned = load::plan_replay(*trace, replay);
    EXPECT_TRUE(planned.has_value());
    workloads.emplace_back(std::move(*planned), kEngineBlock, 256);
  }
  return workloads;
}

Means run_seeds(std::string_view policy, const std::vector<world::PreparedWorkload>& workloads,
                std::int64_t kv_tokens) {
  auto engine = app::find_engine_profile("qwen3-32b-2xh100");
  EXPECT_TRUE(engine.has_value());
  const scheduling::Profile profile = profile_of(policy);
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
    const load::Section& run = summary.overall;
    EXPECT_EQ(run.failed, 0U);
    means.ttft_mean += run.ttft.mean / count;
    means.ttft_p50 += run.ttft.p50() / count;
    means.ttft_p90 += run.ttft.p90() / count;
    means.ttft_p95 += run.ttft.p95() / count;
    means.ttft_p99 += run.ttft.p99() / count;
    means.tpot_mean += run.tpot.mean / count;
    means.output_rate += run.output_tokens_per_s / count;
    means.hit_rate += run.hit_rate / count;
    means.imbalance += imbalance(summary) / count;
    means.worst_ttft_mean = std::max(means.worst_ttft_mean, run.ttft.mean);
  }
  fmt::print(
      "{:<18} {:>6.0f} tok/s  TTFT mean {:>7.3f} s (worst seed {:>7.3f})  p50 {:>7.3f}  p90 "
      "{:>7.3f}  p95 {:>7.3f}  p99 {:>7.3f}  TPOT {:.4f}  hit {:.3f}  imbalance {:.2f}\n",
      policy.substr(0, policy.find('\n')), means.output_rate, means.ttft_mean,
      means.worst_ttft_mean, means.ttft_p50, means.ttft_p90, means.ttft_p95, means.ttft_p99,
      means.tpot_mean, means.hit_rate, means.imbalance);
  return means;
}

}  // namespace fairlead
