// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/study.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "lab/plan/static_partition.h"

namespace fairlead::plan {
namespace {

double imbalance_of(const load::Summary& summary) {
  double most = 0;
  double sum = 0;
  for (const load::EndpointShare& endpoint : summary.endpoints) {
    const auto work = static_cast<double>(endpoint.prompt_tokens - endpoint.cached_tokens +
                                          endpoint.output_tokens);
    most = std::max(most, work);
    sum += work;
  }
  return sum == 0 ? 1 : most * static_cast<double>(summary.endpoints.size()) / sum;
}

RunFigures figures_of(const load::Summary& summary, const world::WorldResult& result,
                      std::uint32_t engines) {
  RunFigures figures;
  const load::Section& all = summary.overall;
  figures.ttft = all.ttft;
  figures.tpot = all.tpot;
  figures.itl = result.gaps.describe();
  figures.request_latency = all.request_latency;
  for (const load::Section& stage : summary.stages) {
    if (stage.kind != load::StageKind::kMeasured) continue;
    figures.stages.push_back({stage.requested_rate, stage.sent, stage.ttft.mean, stage.ttft.p90(),
                              stage.output_tokens_per_s});
    figures.worst_stage_ttft_mean = std::max(figures.worst_stage_ttft_mean, stage.ttft.mean);
  }
  figures.output_tokens_per_s = all.output_tokens_per_s;
  figures.stage_mean_output_tokens_per_s = summary.stage_mean_output_tokens_per_s;
  figures.requests_per_s = all.requests_per_s;
  figures.hit_rate = all.hit_rate;
  if (all.benchmark_s > 0) figures.utilisation = result.busy_s / (all.benchmark_s * engines);
  figures.imbalance = imbalance_of(summary);
  figures.requests = all.sent;
  figures.failed = all.failed;
  figures.steps = result.steps;
  figures.preemptions = result.preemptions;
  return figures;
}

// One seed of one workload, which is planned when the first run needs it and dropped after the
// last.
struct Seed {
  std::size_t workload = 0;
  std::size_t row = 0;  // Among the workload's seeds.
  std::uint64_t seed = 0;
  std::once_flag planned;
  std::optional<world::PreparedWorkload> prepared;
  std::optional<scheduling::Profile> partition;
  std::atomic<std::size_t> runs_left{0};
};

class StudyRun {
 public:
  StudyRun(std::span<const Planner> planners, std::span<const StudyPolicy> policies,
           const StudySettings& settings, const Progress& progress)
      : planners_(planners), policies_(policies), settings_(settings), progress_(progress) {}

  Result<std::vector<StudyResult>> go();

 private:
  // One a policy, and one for the bounds and the static partition.
  std::size_t columns() const { return policies_.size() + (settings_.with_bounds ? 1 : 0); }
  double cpu_now() const { return settings_.cpu_clock ? settings_.cpu_clock() : 0; }
  void work();
  void make_results();
  void plan(Seed& seed);
  void run(std::size_t at);
  void run_policy(Seed& seed, std::size_t column, const scheduling::Profile& profile,
                  const std::optional<scheduling::KvEventSettings>& events);

  std::span<const Planner> planners_;
  std::span<const StudyPolicy> policies_;
  const StudySettings& settings_;
  const Progress& progress_;
  std::vector<Seed> seeds_{planners_.size() * settings_.seeds};
  std::atomic<std::size_t> next_{0};
  std::mutex mutex_;  // Of what follows.
  std::size_t done_ = 0;
  std::optional<Error> error_;
  std::vector<StudyResult> results_;  // One a workload.
};

void StudyRun::make_results() {
  for (std::size_t at = 0; at < seeds_.size(); ++at) {
    Seed& seed = seeds_[at];
    seed.workload = at / settings_.seeds;
    seed.row = at % settings_.seeds;
    seed.seed = settings_.first_seed + seed.row;
    seed.runs_left = columns();
  }
  results_.resize(planners_.size());
  for (StudyResult& result : results_) {
    result.policies.resize(columns());
    result.bounds.resize(settings_.seeds);
    for (std::size_t column = 0; column < columns(); ++column) {
      PolicyFigures& figures = result.policies[column];
      figures.policy =
          column < policies_.size() ? policies_[column].name : std::string(kStaticPartition);
      figures.runs.resize(settings_.seeds);
    }
  }
}

Result<std::vector<StudyResult>> StudyRun::go() {
  make_results();
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < settings_.threads; ++i) threads.emplace_back([this] { work(); });
  for (std::thread& thread : threads) thread.join();
  if (error_) return tl::unexpected(*error_);
  for (StudyResult& result : results_) {
    const bool has_partition = result.policies.back().runs.front().requests > 0;
    if (settings_.with_bounds && !has_partition) result.policies.pop_back();
  }
  return std::move(results_);
}

void StudyRun::work() {
  for (;;) {
    const std::size_t at = next_.fetch_add(1);
    if (at >= seeds_.size() * columns()) return;
    {
      const std::lock_guard lock(mutex_);
      if (error_) return;
    }
    run(at);
  }
}

void StudyRun::plan(Seed& seed) {
  auto workload = planners_[seed.workload](seed.seed);
  if (!workload) {
    const std::lock_guard lock(mutex_);
    error_ = workload.error();
    return;
  }
  const engine::EngineProfile& engine = settings_.world.engine;
  seed.prepared.emplace(std::move(*workload), static_cast<std::uint32_t>(engine.block_size),
                        settings_.router_block_tokens);
  if (settings_.with_bounds) {
    seed.partition = static_partition(*seed.prepared, settings_.world.engines);
  }
  const std::lock_guard lock(mutex_);
  results_[seed.workload].workload = seed.prepared->workload().name;
}

void StudyRun::run(std::size_t at) {
  Seed& seed = seeds_[at / columns()];
  const std::size_t column = at % columns();
  std::call_once(seed.planned, [&] { plan(seed); });
  if (!seed.prepared) return;
  if (column < policies_.size()) {
    run_policy(seed, column, *policies_[column].profile, policies_[column].events);
  } else {
    const Bounds bounds =
        bounds_of(*seed.prepared, settings_.world.engine, settings_.world.engines);
    if (seed.partition) run_policy(seed, column, *seed.partition, {});
    const std::lock_guard lock(mutex_);
    results_[seed.workload].bounds[seed.row] = bounds;
  }
  if (seed.runs_left.fetch_sub(1) == 1) seed.prepared.reset();
  const std::lock_guard lock(mutex_);
  if (progress_) progress_(++done_, seeds_.size() * columns());
}

void StudyRun::run_policy(Seed& seed, std::size_t column, const scheduling::Profile& profile,
                          const std::optional<scheduling::KvEventSettings>& events) {
  world::WorldSettings world = settings_.world;
  world.events = events;
  world.seed = seed.seed;
  const double before = cpu_now();
  world::WorldResult result = world::run_world(*seed.prepared, profile, world);
  const double spent = cpu_now() - before;
  load::Summary summary = load::summarize(seed.prepared->workload(), result.records, {});
  RunFigures figures = figures_of(summary, result, world.engines);
  figures.seed = seed.seed;
  figures.cpu_s = spent;
  const std::lock_guard lock(mutex_);
  PolicyFigures& policy = results_[seed.workload].policies[column];
  policy.runs[seed.row] = std::move(figures);
  if (settings_.with_records && seed.row == 0) {
    policy.records = std::move(result.records);
    policy.summary = std::move(summary);
    // Records have no chunks.
    policy.summary.overall.token_interval = policy.runs[seed.row].itl;
  }
}

}  // namespace

Result<StudyResult> run_study(const Planner& planner, std::span<const StudyPolicy> policies,
                              const StudySettings& settings, const Progress& progress) {
  auto results = run_studies(std::span(&planner, 1), policies, settings, progress);
  if (!results) return tl::unexpected(results.error());
  return std::move(results->front());
}

Result<std::vector<StudyResult>> run_studies(std::span<const Planner> planners,
                                             std::span<const StudyPolicy> policies,
                                             const StudySettings& settings,
                                             const Progress& progress) {
  return StudyRun(planners, policies, settings, progress).go();
}

double mean_of(const PolicyFigures& policy, Figure figure) {
  double sum = 0;
  for (const RunFigures& run : policy.runs) sum += figure(run);
  return sum / static_cast<double>(policy.runs.size());
}

double worst_of(const PolicyFigures& policy, Figure figure) {
  double worst = figure(policy.runs.front());
  for (const RunFigures& run : policy.runs) worst = std::max(worst, figure(run));
  return worst;
}

}  // namespace fairlead::plan
