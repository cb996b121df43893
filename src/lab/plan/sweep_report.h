// SPDX-License-Identifier: Apache-2.0
// What a sweep found: tables for a console, a log of every contender as JSON, and a page with a
// chart. None says when, how long or with how many threads, so the same sweep gives the same bytes;
// the page has what `text` says. What was judged stands apart from what was chosen by. Pure;
// thread-safe.
#pragma once

#include <string>
#include <vector>

#include "lab/load/model/report.h"
#include "lab/plan/sweep.h"

namespace fairlead::plan {

struct SweepReport {
  std::string policy;                   // The file with holes.
  std::string template_text;            // What stands in it.
  std::vector<std::string> variations;  // As written.
  Contenders contenders;
  std::vector<std::string> rivals;
  std::vector<std::string> workloads;
  StudySettings study;  // Fleet and first seed.
  SweepSettings settings;
  SweepResult result;
  std::vector<std::string> judged_on;  // Workloads; empty: nothing is judged.
  Judgement judgement;                 // Of result.shown.
};

std::string sweep_table(const SweepReport& report);

// {"policy", "template", "vary", "search", "seed", "seeds", "fleet", "workloads", "rivals",
// "figures", "rungs", "contenders": [...], "front", "best", "rival_scores", "validation"}; ratios
// over the best rival in the order of "figures", latencies in seconds.
std::string sweep_json(const SweepReport& report);

std::string sweep_html(const load::ReportText& text, const SweepReport& report);

}  // namespace fairlead::plan
