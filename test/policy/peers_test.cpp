// SPDX-License-Identifier: Apache-2.0
// The rules of other routers reproduce what was measured of them by another simulator, on the same
// workloads, before this one was written: the rows of docs/peer-policies.md that it calls
// reproduced. Three seeds keep it short; PEER_SEEDS=5 prints the means of the page.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "core/scheduling/policy_config.h"
#include "policy_runs.h"

namespace fairlead {
namespace {

constexpr std::int64_t kTight = 307'328;  // Tokens of KV cache an engine.
constexpr std::int64_t kRoomy = 1'228'800;

struct Row {
  std::string_view policy;
  double output_rate;  // Tokens a second.
  double tolerance;
};

struct TraceRow {
  std::string_view policy;
  double ttft_mean;  // Seconds.
  double tolerance;
};

std::uint64_t seeds() {
  const char* text = std::getenv("PEER_SEEDS");
  return text == nullptr ? 3 : std::strtoull(text, nullptr, 10);
}

// Within a tenth for rules whose first placements decide a run, and 5 % for the others.
TEST(PeersOnTheLadder, RatesComeOutAsMeasured) {
  constexpr Row kRows[] = {
      {"blend-spread", 13'352, 0.05}, {"lmetric", 11'077, 0.1},     {"lmetric-own", 12'623, 0.1},
      {"max-affinity", 9'329, 0.1},   {"round-robin", 7'839, 0.05},
  };
  const auto workloads = ladders(seeds());
  for (const Row& row : kRows) {
    const Means means = run_seeds(row.policy, workloads, kTight);
    EXPECT_NEAR(means.output_rate, row.output_rate, row.tolerance * row.output_rate) << row.policy;
  }
  // A range was measured.
  const Means greedy = run_seeds("greedy", workloads, kTight);
  EXPECT_GE(greedy.output_rate, 10'800 * 0.95);
  EXPECT_LE(greedy.output_rate, 12'132 * 1.05);
  EXPECT_GE(greedy.ttft_mean, 5);
  EXPECT_LE(greedy.ttft_mean, 17);
}

// Where caches are roomy. In tight ones the two engine models differ, and the page says how.
TEST(PeersOnTheTrace, TimesToFirstTokenComeOutAsMeasured) {
  constexpr TraceRow kRows[] = {
      {"least-request", 1.95, 0.1},
      {"sticky", 0.91, 0.1},
      {"greedy", 0.79, 0.1},
      {"lmetric", 0.80, 0.1},
  };
  const auto workloads = conversations(seeds(), 2);
  for (const TraceRow& row : kRows) {
    const Means means = run_seeds(row.policy, workloads, kRoomy);
    EXPECT_NEAR(means.ttft_mean, row.ttft_mean, row.tolerance * row.ttft_mean) << row.policy;
  }
}

// What has no measured row must at least do what it is for: these find caches that blind policies
// do not, and the draw of two is no better than seeing all.
TEST(PeersOnTheLadder, RulesWithoutAMeasuredRowBehaveAsTheyAreDescribed) {
  const auto workloads = ladders(1);
  const Means blind = run_seeds("power-of-two", workloads, kTight);
  EXPECT_NEAR(blind.output_rate, 7'822, 0.05 * 7'822) << "that of least-request";
  for (const std::string_view policy : {"sglang-cache-aware", "preble", "dynamo", "chwbl"}) {
    const Means means = run_seeds(policy, workloads, kTight);
    EXPECT_GT(means.hit_rate, blind.hit_rate + 0.2) << policy;
    EXPECT_GT(means.output_rate, 1.1 * blind.output_rate) << policy;
  }
}

std::string bounded_hash(std::string_view factor) {
  return fmt::format(
      "# chwbl {0}\nplugins:\n- type: bounded-hash-scorer\n  parameters: {{meanLoadFactor: {0}}}\n"
      "- type: max-score-picker\n",
      factor);
}

// No claim, but the page's figures: minutes.
TEST(PeersOfThePage, ArePrintedWhenTheirSeedsAreAskedFor) {
  if (std::getenv("PEER_SEEDS") == nullptr) GTEST_SKIP() << "PEER_SEEDS is not set";
  std::vector<std::string> policies;
  for (const std::string_view name : scheduling::shipped_policy_names()) {
    if (name != "fairlead-exact") policies.emplace_back(name);
  }
  for (const std::string_view name : scheduling::peer_policy_names()) policies.emplace_back(name);
  const auto by_ladder = ladders(seeds());
  fmt::print("the ladder\n");
  for (const std::string& policy : policies) run_seeds(policy, by_ladder, kTight);
  for (const char* factor : {"1.1", "1.5"}) run_seeds(bounded_hash(factor), by_ladder, kTight);
  const auto by_trace = conversations(seeds(), 2);
  for (const std::int64_t kv_tokens : {kTight, kRoomy}) {
    fmt::print("the conversation trace, caches of {} tokens\n", kv_tokens);
    for (const std::string& policy : policies) {
      // They send all of it to one engine.
      if (policy == "chwbl" || policy == "max-affinity") continue;
      run_seeds(policy, by_trace, kv_tokens);
    }
  }
}

}  // namespace
}  // namespace fairlead
