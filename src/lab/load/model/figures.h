// SPDX-License-Identifier: Apache-2.0
// Turns runs into the charts of the HTML report. Charts show successful requests of measured
// stages, in model time, one series a run in the order of the runs. Pure; thread-safe.
#pragma once

#include <span>

#include "lab/load/model/chart.h"
#include "lab/load/model/report.h"

namespace fairlead::load {

// Share of requests whose first token came within x seconds.
LineChart ttft_distribution_chart(std::span<const ReportRun> runs);
// Median and 95th percentile of TTFT, by the time of sending.
LineChart ttft_median_over_time_chart(std::span<const ReportRun> runs);
LineChart ttft_tail_over_time_chart(std::span<const ReportRun> runs);
// By the offered rate of each measured stage; meaningful for ladders only.
LineChart ladder_ttft_chart(std::span<const ReportRun> runs);
LineChart ladder_throughput_chart(std::span<const ReportRun> runs);
ColumnChart endpoint_chart(std::span<const ReportRun> runs);
BarChart hit_rate_chart(std::span<const ReportRun> runs);
BarChart throughput_chart(std::span<const ReportRun> runs);

// Measured stages of the runs.
std::size_t ladder_rungs(std::span<const ReportRun> runs);

}  // namespace fairlead::load
