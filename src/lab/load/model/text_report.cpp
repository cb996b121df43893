// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <string_view>

#include "lab/load/model/number_text.h"
#include "lab/load/model/report.h"
#include "lab/load/model/text_table.h"

namespace fairlead::load {
namespace {

std::string seconds(double value) { return fmt::format("{:.3f}", value); }
std::string milliseconds(double value) { return fmt::format("{:.1f}", value * 1000); }
std::string percent(double share) { return fmt::format("{:.1f}", share * 100); }

void latency_row(TextTable& table, std::string_view name, const Distribution& values,
                 std::string (*format)(double)) {
  if (values.count == 0) return;
  table.row({std::string(name), format(values.mean), format(values.p50()), format(values.p90()),
             format(values.p95()), format(values.p99()), format(values.max)});
}

std::string latency_table(const Section& section) {
  TextTable table;
  table.row({"latency", "mean", "p50", "p90", "p95", "p99", "max"});
  table.rule();
  latency_row(table, "time to first token, s", section.ttft, seconds);
  latency_row(table, "end to end, s", section.request_latency, seconds);
  latency_row(table, "inter-token, ms", section.token_interval, milliseconds);
  latency_row(table, "time per output token, ms", section.tpot, milliseconds);
  latency_row(table, "normalised per token, ms", section.ntpot, milliseconds);
  latency_row(table, "schedule delay, wall ms", section.schedule_delay, milliseconds);
  return table.text();
}

std::string stage_table(const Summary& summary) {
  TextTable table;
  table.row(
      {"stage", "sent", "failed", "TTFT p50 s", "p90 s", "ITL p50 ms", "hit %", "output tok/s"});
  table.rule();
  for (const Section& stage : summary.stages) {
    table.row({stage.name, group_digits(static_cast<double>(stage.sent)),
               group_digits(static_cast<double>(stage.failed)), seconds(stage.ttft.p50()),
               seconds(stage.ttft.p90()), milliseconds(stage.token_interval.p50()),
               percent(stage.hit_rate), group_digits(stage.output_tokens_per_s)});
  }
  return table.text();
}

std::string endpoint_table(const Summary& summary) {
  double requests = 0;
  for (const EndpointShare& share : summary.endpoints) {
    requests += static_cast<double>(share.requests);
  }
  TextTable table;
  table.row({"endpoint", "requests", "share %", "hit %"});
  table.rule();
  for (const EndpointShare& share : summary.endpoints) {
    const auto prompt = static_cast<double>(std::max<std::uint64_t>(share.prompt_tokens, 1));
    table.row({share.name, group_digits(static_cast<double>(share.requests)),
               percent(static_cast<double>(share.requests) / std::max(requests, 1.0)),
               percent(static_cast<double>(share.cached_tokens) / prompt)});
  }
  return table.text();
}

std::string goodput_line(const Goodput& goodput) {
  std::string line =
      fmt::format("goodput {:.2f} requests/s, {} tokens/s, {} % of answers", goodput.requests_per_s,
                  group_digits(goodput.tokens_per_s), percent(goodput.share));
  for (const auto& [limit, share] : goodput.attainment) {
    line += fmt::format(", {} met by {} %", limit, percent(share));
  }
  return line + "\n";
}

}  // namespace

bool in_model_time(std::span<const ReportRun> runs) {
  return std::ranges::any_of(runs,
                             [](const ReportRun& run) { return run.records.scale.speed != 1; });
}

std::string comparison_table(std::span<const ReportRun> runs) {
  TextTable table;
  table.row({"policy", "TTFT mean s", "p50 s", "p95 s", "p99 s", "ITL p50 ms", "hit %",
             "output tok/s", "failed"});
  table.rule();
  for (const ReportRun& run : runs) {
    const Section& all = run.summary.overall;
    table.row({run.name, seconds(all.ttft.mean), seconds(all.ttft.p50()), seconds(all.ttft.p95()),
               seconds(all.ttft.p99()), milliseconds(all.token_interval.p50()),
               percent(all.hit_rate), group_digits(all.output_tokens_per_s),
               group_digits(static_cast<double>(all.failed))});
  }
  return table.text();
}

std::string run_table(const Summary& summary) {
  const Section& all = summary.overall;
  std::string out = fmt::format(
      "{} requests sent in {:.1f} s, {} answered, {} failed\n"
      "{:.2f} requests/s, {} input tokens/s, {} output tokens/s, prefix hit rate {} %\n",
      group_digits(static_cast<double>(all.sent)), all.benchmark_s,
      group_digits(static_cast<double>(all.succeeded)),
      group_digits(static_cast<double>(all.failed)), all.requests_per_s,
      group_digits(all.input_tokens_per_s), group_digits(all.output_tokens_per_s),
      percent(all.hit_rate));
  for (const auto& [label, count] : all.failures) {
    out += fmt::format("failed with {}: {}\n", label, count);
  }
  if (all.goodput) out += goodput_line(*all.goodput);
  out += "\n" + latency_table(all);
  if (summary.stages.size() > 1) out += "\n" + stage_table(summary);
  if (!summary.endpoints.empty()) out += "\n" + endpoint_table(summary);
  return out;
}

}  // namespace fairlead::load
