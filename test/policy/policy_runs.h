// SPDX-License-Identifier: Apache-2.0
// Runs of policies in virtual time, one a seed, through the production picker. Used by the tests of
// this folder: workloads are planned once and shared by all policies, so that seeds are paired.
// Failure: a policy that does not build, or a request that is lost, fails the test.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lab/world/prepared_workload.h"

namespace fairlead {

// Means over the seeds, but where it says otherwise; seconds, tokens a second, shares.
struct Means {
  double ttft_mean = 0;
  double ttft_p50 = 0;
  double ttft_p90 = 0;
  double ttft_p95 = 0;
  double ttft_p99 = 0;
  double tpot_mean = 0;
  double output_rate = 0;
  double hit_rate = 0;
  double imbalance = 0;  // The most requests that an engine got, over the mean.
  double worst_ttft_mean = 0;
};

// The published ladder ("b2b"), history in blocks of the engine's 64 tokens; seeds from 1.
std::vector<world::PreparedWorkload> ladders(std::uint64_t seeds);
// The shipped conversation trace with its arrivals `compression` times as dense.
std::vector<world::PreparedWorkload> conversations(std::uint64_t seeds, double compression);

// `policy` names a shipped policy, or is the text of one. Eight engines like Qwen3-32B on two H100,
// load figures 50 ms old. Prints a line.
Means run_seeds(std::string_view policy, const std::vector<world::PreparedWorkload>& workloads,
                std::int64_t kv_tokens);

}  // namespace fairlead
