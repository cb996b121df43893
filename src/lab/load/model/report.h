// SPDX-License-Identifier: Apache-2.0
// Reports of one or more runs of one workload: console tables, JSON, and one HTML file with charts
// that needs nothing else (no scripts, no fonts, no network). All figures are model time, which is
// said where the engines did not run at speed 1; the text around them (machine, command, dates) is
// given by the caller. Pure; thread-safe. Failure: none.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/load/model/accounting.h"
#include "lab/load/model/chart.h"

namespace fairlead::load {

// One row of the comparison.
struct ReportRun {
  std::string name;
  RunRecords records;
  Summary summary;
};

struct ReportText {
  std::string title;
  std::string subtitle;                                      // One sentence: what was run.
  std::string row = "Run";                                   // What a row is, as in "Policy".
  std::string generated;                                     // Date and time, as text.
  std::string command;                                       // How to reproduce it.
  std::vector<std::pair<std::string, std::string>> method;   // Term and text.
  std::vector<std::pair<std::string, std::string>> machine;  // Term and text.
};

// One row a run: TTFT mean, p50, p95, p99 in seconds, ITL p50, hit rate, output tokens/s, failed.
std::string comparison_table(std::span<const ReportRun> runs);
// One run in full: latencies by percentile, stages, endpoints, failures.
std::string run_table(const Summary& summary);

// Whether the runs' times are not those of the clock.
bool in_model_time(std::span<const ReportRun> runs);

// The keys of inference-perf's summary, with our additions beside them.
std::string summary_json(const ReportText& text, std::span<const ReportRun> runs);

std::string html_report(const ReportText& text, std::span<const ReportRun> runs);
// A page with the same look and the same text around another body, which is HTML.
std::string html_page(const ReportText& text, std::string_view body);
// A part of such a body: the chart with its legend and its points as a table.
std::string scatter_figure(const ScatterChart& chart);

}  // namespace fairlead::load
