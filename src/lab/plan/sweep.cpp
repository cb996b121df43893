// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/sweep.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace fairlead::plan {
namespace {

// Puts the runs of further seeds behind those that are there.
void append(RunGrid& runs, const RunGrid& more) {
  runs.resize(more.size());
  for (std::size_t workload = 0; workload < more.size(); ++workload) {
    for (const RunFigures& run : more[workload]) runs[workload].push_back(run);
  }
}

class SweepRun {
 public:
  SweepRun(std::span<const StudyPolicy> contenders, std::span<const StudyPolicy> rivals,
           const SweepSettings& settings, const PolicyRunner& runner, const RungTold& told)
      : contenders_(contenders),
        rivals_(rivals),
        settings_(settings),
        runner_(runner),
        told_(told) {
    result_.tried.resize(contenders.size());
    result_.rivals.resize(rivals.size());
  }

  Result<SweepResult> go();

 private:
  // The contenders that are left, and the rivals, with the seeds that they have not had yet.
  Result<void> run(SeedRange seeds);
  Result<void> score_all();
  // The best of those that are left go on, in the order of the contenders.
  void keep(std::size_t count);
  // Those that are left, best first.
  std::vector<std::size_t> ranked(std::vector<std::uint32_t>& ranks) const;

  std::span<const StudyPolicy> contenders_;
  std::span<const StudyPolicy> rivals_;
  const SweepSettings& settings_;
  const PolicyRunner& runner_;
  const RungTold& told_;
  std::vector<std::size_t> left_;
  SweepResult result_;
};

Result<void> SweepRun::run(SeedRange seeds) {
  std::vector<StudyPolicy> policies(rivals_.begin(), rivals_.end());
  for (const std::size_t at : left_) policies.push_back(contenders_[at]);
  auto grids = runner_(policies, seeds);
  if (!grids) return tl::unexpected(grids.error());
  for (std::size_t i = 0; i < rivals_.size(); ++i) {
    append(result_.rivals[i], (*grids)[i]);
  }
  for (std::size_t i = 0; i < left_.size(); ++i) {
    Tried& tried = result_.tried[left_[i]];
    append(tried.runs, (*grids)[rivals_.size() + i]);
    tried.seeds = seeds.first + seeds.count;
  }
  return score_all();
}

Result<void> SweepRun::score_all() {
  const auto marks = marks_of(result_.rivals);
  if (!marks) return tl::unexpected(marks.error());
  for (const std::size_t at : left_) {
    Tried& tried = result_.tried[at];
    tried.score = score(tried.runs, *marks, settings_.seed);
  }
  result_.rival_scores.clear();
  for (const RunGrid& rival : result_.rivals) {
    result_.rival_scores.push_back(score(rival, *marks, settings_.seed));
  }
  return {};
}

std::vector<std::size_t> SweepRun::ranked(std::vector<std::uint32_t>& ranks) const {
  std::vector<Objectives> all;
  for (const std::size_t at : left_) all.push_back(objectives(result_.tried[at].score));
  ranks = pareto_ranks(all);
  std::vector<std::size_t> order(left_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return std::tuple(ranks[a], all[a].geometric_mean, a) <
           std::tuple(ranks[b], all[b].geometric_mean, b);
  });
  return order;
}

void SweepRun::keep(std::size_t count) {
  std::vector<std::uint32_t> ranks;
  std::vector<std::size_t> kept;
  for (const std::size_t at : left_) {
    if (at < settings_.kept) kept.push_back(at);
  }
  for (const std::size_t at : ranked(ranks)) {
    if (kept.size() < count && left_[at] >= settings_.kept) kept.push_back(left_[at]);
  }
  std::ranges::sort(kept);
  left_ = std::move(kept);
}

Result<SweepResult> SweepRun::go() {
  left_.resize(contenders_.size());
  std::iota(left_.begin(), left_.end(), std::size_t{0});
  result_.rungs = rungs_of(settings_.search, contenders_.size(), settings_.seeds);
  std::uint32_t had = 0;
  for (std::size_t i = 0; i < result_.rungs.size(); ++i) {
    const Rung& rung = result_.rungs[i];
    if (i > 0) keep(rung.contenders);
    if (told_) told_(i, result_.rungs);
    if (auto done = run({had, rung.seeds - had}); !done) return tl::unexpected(done.error());
    had = rung.seeds;
  }
  std::vector<std::uint32_t> ranks;
  for (const std::size_t at : ranked(ranks)) {
    if (ranks[at] == 0) result_.front.push_back(left_[at]);
  }
  result_.shown = result_.front;
  for (std::size_t at = 0; at < settings_.kept; ++at) {
    if (std::ranges::find(result_.front, at) == result_.front.end()) result_.shown.push_back(at);
  }
  return std::move(result_);
}

}  // namespace

std::vector<Rung> rungs_of(Search search, std::size_t contenders, std::uint32_t seeds) {
  if (search == Search::kGrid) return {{contenders, seeds}};
  std::vector<Rung> rungs = {{contenders, 1}};
  while (rungs.back().seeds < seeds) {
    const Rung last = rungs.back();
    const std::size_t half = std::max((last.contenders + 1) / 2, kFinalists);
    rungs.push_back({std::min(half, last.contenders), std::min(2 * last.seeds, seeds)});
  }
  return rungs;
}

Result<SweepResult> run_sweep(std::span<const StudyPolicy> contenders,
                              std::span<const StudyPolicy> rivals, const SweepSettings& settings,
                              const PolicyRunner& runner, const RungTold& told) {
  return SweepRun(contenders, rivals, settings, runner, told).go();
}

Result<Judgement> judge(std::span<const StudyPolicy> chosen, std::span<const StudyPolicy> rivals,
                        const SweepSettings& settings, const PolicyRunner& runner) {
  SweepSettings all = settings;
  all.search = Search::kGrid;
  auto result = run_sweep(chosen, rivals, all, runner, {});
  if (!result) return tl::unexpected(result.error());
  return Judgement{std::move(result->tried), std::move(result->rivals),
                   std::move(result->rival_scores)};
}

}  // namespace fairlead::plan
