// SPDX-License-Identifier: Apache-2.0
// The tables of a sweep's report, which its console text and its page share. Pure; thread-safe.
#pragma once

#include <span>
#include <string>

#include "lab/load/model/text_table.h"
#include "lab/plan/sweep_report.h"

namespace fairlead::plan {

// A part of a report: the contenders shown, best first, on some workloads.
struct SweepPart {
  std::span<const std::string> workloads;
  std::span<const RunGrid> rivals;
  std::span<const Score> rival_scores;
  std::vector<const Tried*> tried;  // As result.shown.
};

SweepPart searched_part(const SweepReport& report);
SweepPart judged_part(const SweepReport& report);

// A row a contender: means, the worst workload and the worst seed.
load::TextTable front_table(const SweepReport& report, const SweepPart& part);
// The same of the rivals, best first: none is the best at everything.
load::TextTable rival_table(const SweepReport& report, const SweepPart& part);
// A row a workload, of the best contender.
load::TextTable workload_table(const SweepReport& report, const SweepPart& part);

std::string heading(const SweepReport& report);
std::string contender_name(const SweepReport& report, std::size_t at);

// Of one figure on one workload.
PairedRatio figure_ratio(const Tried& tried, std::size_t workload, std::size_t figure,
                         std::uint64_t seed);
// Mean over the seeds.
Scored mean_figures(std::span<const RunFigures> runs);

}  // namespace fairlead::plan
