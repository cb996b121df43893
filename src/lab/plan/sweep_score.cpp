// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/sweep_score.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"

namespace fairlead::plan {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

// Of one workload and seed.
Mark mark_of(std::span<const RunGrid> rivals, std::size_t workload, std::size_t seed) {
  Mark mark;
  mark.failed = std::numeric_limits<std::uint64_t>::max();
  for (const RunGrid& rival : rivals) {
    mark.failed = std::min(mark.failed, rival[workload][seed].failed);
  }
  mark.best.fill(kInfinite);
  for (const RunGrid& rival : rivals) {
    const RunFigures& run = rival[workload][seed];
    if (run.failed > mark.failed) continue;
    const Scored figures = scored_figures(run);
    for (std::size_t i = 0; i < figures.size(); ++i) {
      mark.best[i] = std::min(mark.best[i], figures[i]);
    }
  }
  return mark;
}

Scored ratios_of(const RunFigures& run, const Mark& mark) {
  Scored ratios = scored_figures(run);
  for (std::size_t i = 0; i < ratios.size(); ++i) {
    // 0: nothing was answered.
    ratios[i] = ratios[i] > 0 ? ratios[i] / mark.best[i] : kInfinite;
  }
  return ratios;
}

std::vector<double> column(std::span<const Scored> rows, std::size_t figure) {
  std::vector<double> values;
  for (const Scored& row : rows) values.push_back(row[figure]);
  return values;
}

bool dominates(const Objectives& a, const Objectives& b) {
  return a.geometric_mean <= b.geometric_mean && a.worst <= b.worst &&
         (a.geometric_mean < b.geometric_mean || a.worst < b.worst);
}

}  // namespace

Scored scored_figures(const RunFigures& run) {
  return {run.ttft.mean, run.ttft.p95(), run.ttft.p99()};
}

Result<MarkGrid> marks_of(std::span<const RunGrid> rivals) {
  FAIRLEAD_ASSERT(!rivals.empty());
  MarkGrid marks(rivals.front().size());
  for (std::size_t workload = 0; workload < marks.size(); ++workload) {
    for (std::size_t seed = 0; seed < rivals.front()[workload].size(); ++seed) {
      const Mark mark = mark_of(rivals, workload, seed);
      if (std::ranges::any_of(mark.best, [](double best) { return best <= 0; })) {
        return fail(ErrorCode::kInvalidArgument,
                    "no request is answered under any rival with seed {}",
                    rivals.front()[workload][seed].seed);
      }
      marks[workload].push_back(mark);
    }
  }
  return marks;
}

Score score(const RunGrid& runs, const MarkGrid& marks, std::uint64_t seed) {
  Score score;
  std::vector<std::vector<double>> over_figures;  // By workload, then seed.
  std::vector<double> of_workloads;
  for (std::size_t workload = 0; workload < runs.size(); ++workload) {
    std::vector<Scored>& rows = score.by_seed.emplace_back();
    std::vector<double>& of_seeds = over_figures.emplace_back();
    for (std::size_t at = 0; at < runs[workload].size(); ++at) {
      const RunFigures& run = runs[workload][at];
      const Mark& mark = marks[workload][at];
      if (run.failed > mark.failed) score.failed_more += run.failed - mark.failed;
      rows.push_back(ratios_of(run, mark));
      of_seeds.push_back(geometric_mean(rows.back()));
      if (of_seeds.back() > score.worst_seed.ratio) {
        score.worst_seed = {of_seeds.back(), workload, run.seed};
      }
    }
    Scored& means = score.workloads.emplace_back();
    for (std::size_t figure = 0; figure < means.size(); ++figure) {
      means[figure] = geometric_mean(column(rows, figure));
      if (means[figure] > score.worst_workload.ratio) {
        score.worst_workload = {means[figure], workload, figure};
      }
    }
    of_workloads.push_back(geometric_mean(means));
  }
  score.geometric_mean = geometric_mean(of_workloads);
  score.interval = ratio_interval(over_figures, seed);
  return score;
}

Objectives objectives(const Score& score) {
  if (score.failed_more > 0) return {kInfinite, kInfinite};
  return {score.geometric_mean, score.worst_workload.ratio};
}

std::vector<std::uint32_t> pareto_ranks(std::span<const Objectives> all) {
  constexpr auto kNone = std::numeric_limits<std::uint32_t>::max();
  std::vector<std::uint32_t> ranks(all.size(), kNone);
  std::size_t left = all.size();
  for (std::uint32_t rank = 0; left > 0; ++rank) {
    std::vector<std::size_t> undominated;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (ranks[i] != kNone) continue;
      const auto is_dominated = [&] {
        for (std::size_t j = 0; j < all.size(); ++j) {
          if (ranks[j] == kNone && dominates(all[j], all[i])) return true;
        }
        return false;
      };
      if (!is_dominated()) undominated.push_back(i);
    }
    for (const std::size_t i : undominated) ranks[i] = rank;
    left -= undominated.size();
  }
  return ranks;
}

}  // namespace fairlead::plan
