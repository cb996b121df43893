// SPDX-License-Identifier: Apache-2.0
// Study: policies compared in virtual time. Every policy runs over the same planned workloads, one
// a seed, on the same fleet, so that figures can be paired by seed. Runs go side by side on
// threads; the figures do not depend on how many.
// Shapes: policies and seeds in the order asked for. Units: seconds and tokens of model time,
// shares in [0, 1]. Errors: the planner's. Threads: run_study() makes and ends its own; call it
// from one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/scheduling/profile.h"
#include "lab/load/model/accounting.h"
#include "lab/plan/bounds.h"
#include "lab/world/world.h"

namespace fairlead::plan {

struct StudyPolicy {
  std::string name;
  std::shared_ptr<const scheduling::Profile> profile;
  std::optional<scheduling::KvEventSettings> events{};  // It listens to engines.
};

struct StudySettings {
  world::WorldSettings world;  // Its seed and events are replaced.
  std::uint32_t router_block_tokens = 256;
  std::uint64_t first_seed = 1;
  std::uint32_t seeds = 5;    // At least 1.
  std::uint32_t threads = 1;  // At least 1.
  bool with_bounds = true;    // And the static partition.
  bool with_records = true;   // Of the first seed.
  // Processor seconds that the calling thread has had; without it RunFigures::cpu_s is 0.
  std::function<double()> cpu_clock;
};

// A measured stage of a run.
struct StageFigures {
  double rate = 0;  // Offered, requests a second.
  std::uint64_t requests = 0;
  double ttft_mean = 0;
  double ttft_p90 = 0;
  double output_tokens_per_s = 0;
};

// One run.
struct RunFigures {
  std::uint64_t seed = 0;
  load::Distribution ttft;
  load::Distribution tpot;
  load::Distribution itl;
  load::Distribution request_latency;
  std::vector<StageFigures> stages;
  double worst_stage_ttft_mean = 0;
  double output_tokens_per_s = 0;
  double stage_mean_output_tokens_per_s = 0;  // As ladders are quoted.
  double requests_per_s = 0;
  double hit_rate = 0;
  double utilisation = 0;  // Share of the engines' time that they spent in steps.
  double imbalance = 1;  // Uncached prompt and output tokens of the busiest endpoint over the mean.
  std::uint64_t requests = 0;
  std::uint64_t failed = 0;
  std::uint64_t steps = 0;
  std::uint64_t preemptions = 0;
  double cpu_s = 0;  // What the run took this program, planning left out.
};

struct PolicyFigures {
  std::string policy;
  std::vector<RunFigures> runs;  // One a seed.
  // Of the first seed, for charts; empty unless asked for.
  load::RunRecords records;
  load::Summary summary;
};

struct StudyResult {
  std::string workload;
  std::vector<PolicyFigures> policies;  // The static partition last, where the workload has one.
  std::vector<Bounds> bounds;           // One a seed.
};

using Planner = std::function<Result<load::Workload>(std::uint64_t seed)>;
// Runs done and runs in all; called by one thread at a time.
using Progress = std::function<void(std::size_t done, std::size_t all)>;

Result<StudyResult> run_study(const Planner& planner, std::span<const StudyPolicy> policies,
                              const StudySettings& settings, const Progress& progress);
// Several workloads, side by side: a result each, in the order of the planners, at least one.
Result<std::vector<StudyResult>> run_studies(std::span<const Planner> planners,
                                             std::span<const StudyPolicy> policies,
                                             const StudySettings& settings,
                                             const Progress& progress);

using Figure = double (*)(const RunFigures& run);
inline double ttft_mean(const RunFigures& run) { return run.ttft.mean; }
inline double hit_rate(const RunFigures& run) { return run.hit_rate; }
inline double failed(const RunFigures& run) { return static_cast<double>(run.failed); }
inline double output_rate(const RunFigures& run) { return run.output_tokens_per_s; }

double mean_of(const PolicyFigures& policy, Figure figure);
double worst_of(const PolicyFigures& policy, Figure figure);  // The greatest.
inline bool has_failures(const PolicyFigures& policy) { return worst_of(policy, failed) > 0; }

}  // namespace fairlead::plan
