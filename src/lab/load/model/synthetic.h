// SPDX-License-Identifier: Apache-2.0
// Synthetic workloads: what the prompts are, times how they arrive.
//
// Shared prefixes follow inference-perf: every group has a system prompt, every prompt of a group a
// question; all groups x prompts are made first, shuffled once with the seed and then used
// cyclically over all stages. An open loop stage sends rate x length requests. Poisson arrivals
// draw a Poisson count for each second and exponential gaps normalised into that second.
// The same settings give the same workload on every platform. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "lab/load/model/workload.h"

namespace fairlead::load {

struct SharedPrefixPrompts {
  std::uint32_t groups = 32;
  std::uint32_t prompts_per_group = 32;
  std::uint32_t system_tokens = 2048;
  std::uint32_t question_tokens = 256;
  std::uint32_t output_tokens = 256;
};

// No two prompts share anything.
struct UniquePrompts {
  std::uint32_t prompt_tokens = 1024;
  std::uint32_t output_tokens = 128;
};

enum class Arrivals {
  kPoisson,
  kConstant,  // Evenly spaced.
};

struct RateStage {
  double rate = 1;  // Requests a second.
  Duration length = std::chrono::seconds(60);
  StageKind kind = StageKind::kMeasured;
};

struct OpenLoop {
  Arrivals arrivals = Arrivals::kPoisson;
  std::vector<RateStage> stages;
  Duration pause{};  // Between stages, after the drain.
};

struct ClosedLoop {
  std::uint32_t concurrency = 1;
  std::uint32_t requests = 100;
  Duration length{};  // Nothing is sent later than this; 0 is no limit.
};

struct SyntheticSettings {
  std::string name = "synthetic";
  std::variant<SharedPrefixPrompts, UniquePrompts> prompts;
  std::variant<OpenLoop, ClosedLoop> loop;
  std::uint64_t seed = 1;
};

Result<Workload> plan_synthetic(const SyntheticSettings& settings);

// The published prefix-routing ladder ("b2b"): 150 groups x 5 prompts of 6,000 + 1,200 tokens with
// 1,000 output tokens; a warm-up of 15 requests/s for 50 s, then 16 stages from 3 to 60 requests/s
// with 30 s of pause (llm-d, "KV-Cache Wins You Can See", 2025-09-24).
SyntheticSettings b2b_settings(std::uint64_t seed);

// Poisson-distributed count with this mean (above 0).
std::uint32_t poisson_count(double mean, Random& random);

// Offsets from the stage's start of rate x length (rounded down) arrivals, ascending.
std::vector<Duration> arrival_times(Arrivals arrivals, double rate, Duration length,
                                    Random& random);

}  // namespace fairlead::load
