// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace fairlead::load {
namespace {

constexpr std::size_t kCurvePoints = 200;
constexpr std::size_t kWindows = 48;

struct Sent {
  double at = 0;  // Seconds of model time since the run's first request.
  double ttft = 0;
};

std::vector<Sent> first_tokens(const ReportRun& run) {
  Time start = Time::max();
  for (const RequestRecord& record : run.records.requests) start = std::min(start, record.sent);
  const TimeScale scale = run.records.scale;
  std::vector<Sent> sent;
  for (const RequestRecord& record : run.records.requests) {
    const bool measured = run.summary.stages[record.stage].kind == StageKind::kMeasured;
    if (!measured || record.outcome != Outcome::kOk || record.output_tokens == 0) continue;
    sent.push_back({scale.model_seconds(record.sent - start),
                    scale.model_seconds(record.first_token - record.sent)});
  }
  return sent;
}

std::vector<double> values_of(std::span<const ChartLine> lines, double ChartPoint::* coordinate) {
  std::vector<double> values;
  for (const ChartLine& line : lines) {
    for (const auto& piece : line.pieces) {
      for (const ChartPoint& point : piece) values.push_back(point.*coordinate);
    }
  }
  return values;
}

ChartLine distribution_line(const ReportRun& run) {
  std::vector<double> ttfts;
  for (const Sent& sent : first_tokens(run)) ttfts.push_back(sent.ttft);
  std::sort(ttfts.begin(), ttfts.end());
  ChartLine line{run.name, {}};
  if (ttfts.empty()) return line;
  std::vector<ChartPoint>& points = line.pieces.emplace_back();
  const std::size_t count = std::min(ttfts.size(), kCurvePoints);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t rank = count == 1 ? 0 : i * (ttfts.size() - 1) / (count - 1);
    points.push_back(
        {ttfts[rank], static_cast<double>(rank + 1) / static_cast<double>(ttfts.size())});
  }
  return line;
}

// One value a window of sending time; windows without requests part the line.
ChartLine line_over_time(const ReportRun& run, double window,
                         double (Distribution::*pick)() const) {
  std::vector<std::vector<double>> windows(kWindows);
  for (const Sent& sent : first_tokens(run)) {
    const auto index = static_cast<std::size_t>(std::max(0.0, sent.at / window));
    windows[std::min(index, kWindows - 1)].push_back(sent.ttft);
  }
  ChartLine line{run.name, {}};
  bool fresh = true;
  for (std::size_t i = 0; i < kWindows; ++i) {
    if (windows[i].empty()) {
      fresh = true;
      continue;
    }
    if (fresh) line.pieces.emplace_back();
    fresh = false;
    const Distribution values = describe(windows[i]);
    line.pieces.back().push_back({(static_cast<double>(i) + 0.5) * window, (values.*pick)()});
  }
  return line;
}

LineChart over_time(std::span<const ReportRun> runs, double (Distribution::*pick)() const) {
  double last = 0;
  for (const ReportRun& run : runs) {
    for (const Sent& sent : first_tokens(run)) last = std::max(last, sent.at);
  }
  LineChart chart;
  const double window = last > 0 ? last / kWindows : 1;
  for (const ReportRun& run : runs) chart.lines.push_back(line_over_time(run, window, pick));
  chart.x = {in_model_time(runs) ? "time of sending, model time" : "time of sending",
             Unit::kSeconds, Scale::kLinear, 0, window * kWindows};
  chart.y = axis_over("TTFT", Unit::kSeconds, Scale::kLog, values_of(chart.lines, &ChartPoint::y));
  return chart;
}

LineChart ladder(std::span<const ReportRun> runs, double (*pick)(const Section&)) {
  LineChart chart;
  for (const ReportRun& run : runs) {
    ChartLine line{run.name, {{}}};
    for (const Section& stage : run.summary.stages) {
      if (stage.kind != StageKind::kMeasured || stage.succeeded == 0) continue;
      line.pieces.back().push_back({stage.requested_rate, pick(stage)});
    }
    if (line.pieces.back().empty()) line.pieces.clear();
    chart.lines.push_back(std::move(line));
  }
  chart.x = axis_over("offered requests per second", Unit::kCount, Scale::kLinear,
                      values_of(chart.lines, &ChartPoint::x));
  return chart;
}

BarChart one_bar_a_run(std::span<const ReportRun> runs, double (*pick)(const Section&)) {
  BarChart chart;
  for (const ReportRun& run : runs) chart.bars.push_back({run.name, pick(run.summary.overall)});
  return chart;
}

std::vector<double> values_of(std::span<const RankedBar> bars) {
  std::vector<double> values;
  for (const RankedBar& bar : bars) values.push_back(bar.value);
  return values;
}

}  // namespace

LineChart ttft_distribution_chart(std::span<const ReportRun> runs) {
  LineChart chart;
  chart.id = "ttft-distribution";
  chart.height = 540;  // As tall as the two bar charts beside it.
  chart.title = "Time to first token: how many requests, how soon";
  chart.description =
      "Cumulative distribution of the time to first token. A curve further left is faster.";
  for (const ReportRun& run : runs) chart.lines.push_back(distribution_line(run));
  chart.x = axis_over("time to first token (log scale)", Unit::kSeconds, Scale::kLog,
                      values_of(chart.lines, &ChartPoint::x));
  chart.y = {"share of requests", Unit::kPercent, Scale::kLinear, 0, 1};
  return chart;
}

LineChart ttft_median_over_time_chart(std::span<const ReportRun> runs) {
  LineChart chart = over_time(runs, &Distribution::p50);
  chart.id = "ttft-median";
  chart.title = "Time to first token over the run: median";
  chart.description = "Median time to first token of the requests sent in each window of the run.";
  chart.y.label = "median TTFT (log scale)";
  return chart;
}

LineChart ttft_tail_over_time_chart(std::span<const ReportRun> runs) {
  LineChart chart = over_time(runs, &Distribution::p95);
  chart.id = "ttft-tail";
  chart.title = "Time to first token over the run: 95th percentile";
  chart.description =
      "95th percentile of the time to first token of the requests sent in each window of the run.";
  chart.y.label = "p95 TTFT (log scale)";
  return chart;
}

LineChart ladder_ttft_chart(std::span<const ReportRun> runs) {
  LineChart chart = ladder(runs, [](const Section& stage) { return stage.ttft.p90(); });
  chart.id = "ladder-ttft";
  chart.title = "Time to first token by offered rate: 90th percentile";
  chart.description = "90th percentile of the time to first token in each stage of the ladder.";
  chart.y = axis_over("p90 TTFT (log scale)", Unit::kSeconds, Scale::kLog,
                      values_of(chart.lines, &ChartPoint::y));
  return chart;
}

LineChart ladder_throughput_chart(std::span<const ReportRun> runs) {
  LineChart chart = ladder(runs, [](const Section& stage) { return stage.output_tokens_per_s; });
  chart.id = "ladder-throughput";
  chart.title = "Output tokens per second by offered rate";
  chart.description = "Output token throughput in each stage of the ladder.";
  chart.y = axis_over("output tokens per second", Unit::kCount, Scale::kLinear,
                      values_of(chart.lines, &ChartPoint::y));
  return chart;
}

namespace {

// "10.0.0.1:9001" and "10.0.0.1:9002" are told apart by their ports: the host moves to the axis.
void shorten_names(ColumnChart& chart) {
  if (chart.groups.size() < 2) return;
  const std::string& first = chart.groups[0].name;
  const std::size_t colon = first.rfind(':');
  if (colon == first.npos) return;
  const std::string host = first.substr(0, colon + 1);
  const bool shared =
      std::all_of(chart.groups.begin(), chart.groups.end(),
                  [&](const ColumnGroup& group) { return group.name.rfind(host, 0) == 0; });
  if (!shared) return;
  for (ColumnGroup& group : chart.groups) group.name.erase(0, host.size());
  chart.x_label = fmt::format("endpoint ({}port)", host);
}

}  // namespace

ColumnChart endpoint_chart(std::span<const ReportRun> runs) {
  ColumnChart chart;
  chart.id = "endpoints";
  chart.title = "Requests by endpoint";
  chart.description = "Share of the requests that each endpoint served. Dotted: an even share.";
  chart.x_label = "endpoint";
  std::vector<double> shares;
  for (const ReportRun& run : runs) {
    chart.series.push_back(run.name);
    double total = 0;
    for (const EndpointShare& share : run.summary.endpoints) {
      total += static_cast<double>(share.requests);
    }
    for (const EndpointShare& share : run.summary.endpoints) {
      auto group = std::find_if(chart.groups.begin(), chart.groups.end(),
                                [&](const ColumnGroup& known) { return known.name == share.name; });
      if (group == chart.groups.end()) {
        group = chart.groups.insert(chart.groups.end(), {share.name, {}});
      }
      // A run that did not know the endpoint sent it nothing.
      group->values.resize(chart.series.size(), 0);
      group->values.back() = static_cast<double>(share.requests) / std::max(total, 1.0);
      shares.push_back(group->values.back());
    }
  }
  chart.y = axis_over("share of requests", Unit::kPercent, Scale::kLinear, shares);
  if (!chart.groups.empty()) {
    chart.reference = 1.0 / static_cast<double>(chart.groups.size());
    chart.y.high = std::max(chart.y.high, *chart.reference * 1.1);
  }
  for (ColumnGroup& group : chart.groups) group.values.resize(chart.series.size(), 0);
  shorten_names(chart);
  return chart;
}

BarChart hit_rate_chart(std::span<const ReportRun> runs) {
  BarChart chart = one_bar_a_run(runs, [](const Section& all) { return all.hit_rate; });
  chart.id = "hit-rate";
  chart.title = "Prefix-cache hit rate";
  chart.description = "Cached prompt tokens as a share of all prompt tokens. More is better.";
  chart.x = axis_over("share of prompt tokens found in a cache", Unit::kPercent, Scale::kLinear,
                      values_of(chart.bars));
  return chart;
}

BarChart throughput_chart(std::span<const ReportRun> runs) {
  BarChart chart = one_bar_a_run(runs, [](const Section& all) { return all.output_tokens_per_s; });
  chart.id = "throughput";
  chart.title = "Output tokens per second";
  chart.description = "Output tokens per second of benchmark time, whole fleet.";
  chart.x =
      axis_over("output tokens per second", Unit::kCount, Scale::kLinear, values_of(chart.bars));
  return chart;
}

std::size_t ladder_rungs(std::span<const ReportRun> runs) {
  if (runs.empty()) return 0;
  return static_cast<std::size_t>(
      std::count_if(runs[0].summary.stages.begin(), runs[0].summary.stages.end(),
                    [](const Section& stage) { return stage.kind == StageKind::kMeasured; }));
}

}  // namespace fairlead::load
