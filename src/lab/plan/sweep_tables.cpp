// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/sweep_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace fairlead::plan {
namespace {

std::string ratio_text(double ratio) { return fmt::format("{:.3f}", ratio); }

std::string interval_text(const Interval& interval) {
  return fmt::format("{:.3f} to {:.3f}", interval.low, interval.high);
}

std::string plural(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// By mean TTFT.
std::size_t best_rival(std::span<const RunGrid> rivals, std::size_t workload) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < rivals.size(); ++i) {
    if (mean_figures(rivals[i][workload])[0] < mean_figures(rivals[best][workload])[0]) best = i;
  }
  return best;
}

load::TextTable score_table(const char* what) {
  load::TextTable table;
  table.row(
      {what, "geometric mean", "95 %", "worst workload", "of", "worst seed", "of", "failed more"});
  table.rule();
  return table;
}

void add_score(load::TextTable& table, std::string name, const Score& score,
               std::span<const std::string> workloads) {
  const WorstWorkload& workload = score.worst_workload;
  const WorstSeed& seed = score.worst_seed;
  table.row({std::move(name), ratio_text(score.geometric_mean), interval_text(score.interval),
             ratio_text(workload.ratio),
             fmt::format("{} {}", workloads[workload.workload], kScoredFigures[workload.figure]),
             ratio_text(seed.ratio), fmt::format("{} seed {}", workloads[seed.workload], seed.seed),
             fmt::format("{}", score.failed_more)});
}

}  // namespace

Scored mean_figures(std::span<const RunFigures> runs) {
  Scored means{};
  for (const RunFigures& run : runs) {
    const Scored figures = scored_figures(run);
    for (std::size_t i = 0; i < means.size(); ++i) {
      means[i] += figures[i] / static_cast<double>(runs.size());
    }
  }
  return means;
}

PairedRatio figure_ratio(const Tried& tried, std::size_t workload, std::size_t figure,
                         std::uint64_t seed) {
  std::vector<double> ratios;
  for (const Scored& row : tried.score.by_seed[workload]) ratios.push_back(row[figure]);
  return paired_ratio(ratios, seed);
}

SweepPart searched_part(const SweepReport& report) {
  SweepPart part{report.workloads, report.result.rivals, report.result.rival_scores, {}};
  for (const std::size_t at : report.result.shown) part.tried.push_back(&report.result.tried[at]);
  return part;
}

SweepPart judged_part(const SweepReport& report) {
  SweepPart part{report.judged_on, report.judgement.rivals, report.judgement.rival_scores, {}};
  for (const Tried& tried : report.judgement.judged) part.tried.push_back(&tried);
  return part;
}

load::TextTable front_table(const SweepReport& report, const SweepPart& part) {
  load::TextTable table = score_table("contender");
  for (std::size_t i = 0; i < part.tried.size(); ++i) {
    add_score(table, contender_name(report, report.result.shown[i]), part.tried[i]->score,
              part.workloads);
  }
  return table;
}

load::TextTable rival_table(const SweepReport& report, const SweepPart& part) {
  std::vector<std::size_t> order(part.rival_scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t at) {
    return std::pair(objectives(part.rival_scores[at]).geometric_mean, at);
  });
  load::TextTable table = score_table("rival");
  for (const std::size_t at : order) {
    add_score(table, report.rivals[at], part.rival_scores[at], part.workloads);
  }
  return table;
}

load::TextTable workload_table(const SweepReport& report, const SweepPart& part) {
  load::TextTable table;
  table.row({"workload", "TTFT mean s", "p95 s", "p99 s", "mean / rival", "95 %", "p95 / rival",
             "95 %", "p99 / rival", "95 %", "best rival", "its mean s"});
  table.rule();
  const Tried& best = *part.tried.front();
  for (std::size_t at = 0; at < part.workloads.size(); ++at) {
    std::vector<std::string> cells = {part.workloads[at]};
    for (const double figure : mean_figures(best.runs[at])) cells.push_back(ratio_text(figure));
    for (std::size_t figure = 0; figure < kScoredFigures.size(); ++figure) {
      const PairedRatio ratio = figure_ratio(best, at, figure, report.settings.seed);
      cells.push_back(ratio_text(ratio.mean));
      cells.push_back(interval_text(ratio.interval));
    }
    const std::size_t rival = best_rival(part.rivals, at);
    cells.push_back(report.rivals[rival]);
    cells.push_back(ratio_text(mean_figures(part.rivals[rival][at])[0]));
    table.row(std::move(cells));
  }
  return table;
}

std::string contender_name(const SweepReport& report, std::size_t at) {
  return name_of(report.contenders.list[at]) +
         (at < report.contenders.defaults ? " (defaults)" : "");
}

std::string heading(const SweepReport& report) {
  std::string halved;
  for (const Rung& rung : report.result.rungs) {
    halved += fmt::format("{}{} with {}", halved.empty() ? "" : ", ", rung.contenders,
                          plural(rung.seeds, "seed"));
  }
  return fmt::format("{} of {} ({}) on {}: {}.", plural(report.contenders.list.size(), "contender"),
                     report.policy,
                     report.contenders.search == Search::kGrid ? "a grid" : "samples, halved",
                     plural(report.workloads.size(), "workload"), halved);
}

}  // namespace fairlead::plan
