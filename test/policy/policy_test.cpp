// SPDX-License-Identifier: Apache-2.0
// What the shipped policies promise, proved in virtual time through the production picker: the
// published ladder comes out as published, and the default policy beats every other one on the
// whole conversation trace, at two cache sizes, over five paired seeds.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/scheduling/policy_config.h"
#include "policy_runs.h"

namespace fairlead {
namespace {

constexpr std::uint64_t kSeeds = 5;

// Published rows: simulated twin of the ladder, block 64, 43 us a token, load figures 50 ms old.
TEST(PublishedLadder, ThroughputOfEachPolicyComesOutAsPublished) {
  const auto workloads = ladders(kSeeds);
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
  const auto workloads = conversations(kSeeds, 2);
  fmt::print("caches of {} tokens\n", GetParam());
  const Means ours = run_seeds("fairlead", workloads, GetParam());
  for (const std::string_view other : scheduling::shipped_policy_names()) {
    if (other == "fairlead-exact") continue;  // The same, where engines tell nothing.
    if (other == "fairlead") continue;
    const Means theirs = run_seeds(other, workloads, GetParam());
    EXPECT_LT(ours.ttft_mean, theirs.ttft_mean) << other;
    EXPECT_LT(ours.ttft_p95, theirs.ttft_p95) << other;
  }
}

INSTANTIATE_TEST_SUITE_P(CacheSizes, ConversationTrace, ::testing::Values(307'328, 1'228'800));

}  // namespace
}  // namespace fairlead
