// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "lab/load/model/figures.h"
#include "lab/load/model/html_style.h"
#include "lab/load/model/report.h"
#include "lab/load/model/text_table.h"

namespace fairlead::load {
namespace {

enum class Better { kLow, kHigh };

// One unit a column, so that figures line up.
enum class Cell { kSeconds, kMilliseconds, kPercent, kCount };

struct Column {
  const char* heading;
  Cell cell;
  Better better;
  double (*value)(const Section&);
};

constexpr Column kColumns[] = {
    {"TTFT mean", Cell::kSeconds, Better::kLow, [](const Section& s) { return s.ttft.mean; }},
    {"TTFT p50", Cell::kSeconds, Better::kLow, [](const Section& s) { return s.ttft.p50(); }},
    {"TTFT p95", Cell::kSeconds, Better::kLow, [](const Section& s) { return s.ttft.p95(); }},
    {"TTFT p99", Cell::kSeconds, Better::kLow, [](const Section& s) { return s.ttft.p99(); }},
    {"ITL p50", Cell::kMilliseconds, Better::kLow,
     [](const Section& s) { return s.token_interval.p50(); }},
    {"Hit rate", Cell::kPercent, Better::kHigh, [](const Section& s) { return s.hit_rate; }},
    {"Output tokens/s", Cell::kCount, Better::kHigh,
     [](const Section& s) { return s.output_tokens_per_s; }},
};

std::string cell_text(double value, Cell cell) {
  switch (cell) {
    case Cell::kSeconds:
      return fmt::format("{:.3f} s", value);
    case Cell::kMilliseconds:
      return fmt::format("{:.1f} ms", value * 1000);
    case Cell::kPercent:
      return fmt::format("{:.1f} %", value * 100);
    case Cell::kCount:
      break;
  }
  return group_digits(value);
}

// Of intervals that nobody measured nothing is said.
std::string interval_text(const Distribution& intervals) {
  return intervals.count == 0 ? "–" : cell_text(intervals.p50(), Cell::kMilliseconds);
}

std::string column_text(const ReportRun& run, const Column& column) {
  return cell_text(column.value(run.summary.overall), column.cell);
}

// The best figure of a column as it is shown; empty where all agree.
std::string best_text(std::span<const ReportRun> runs, const Column& column) {
  const auto worse = [&](const ReportRun& a, const ReportRun& b) {
    const double left = column.value(a.summary.overall);
    const double right = column.value(b.summary.overall);
    return column.better == Better::kLow ? left < right : left > right;
  };
  const auto [best, worst] = std::minmax_element(runs.begin(), runs.end(), worse);
  const std::string text = column_text(*best, column);
  return text == column_text(*worst, column) ? std::string() : text;
}

std::string comparison_html(const std::string& row, std::span<const ReportRun> runs) {
  std::string out = fmt::format(
      "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Results table\">"
      "<table><caption>{}ITL: the gap between chunks, spread over the tokens of a "
      "chunk.{}</caption>"
      "<thead><tr><th scope=\"col\">{}</th>",
      in_model_time(runs) ? "Model time. " : "",
      runs.size() > 1 ? " The best of each column is marked." : "", escape_html(row));
  std::vector<std::string> best;
  for (const Column& column : kColumns) {
    out += fmt::format("<th scope=\"col\">{}</th>", column.heading);
    best.push_back(best_text(runs, column));
  }
  out += "<th scope=\"col\">Failed</th></tr></thead><tbody>";
  for (const ReportRun& run : runs) {
    out += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(run.name));
    for (std::size_t i = 0; i < best.size(); ++i) {
      const std::string text = column_text(run, kColumns[i]);
      out += fmt::format("<td{}>{}</td>", text == best[i] ? " class=\"best\"" : "", text);
    }
    const std::uint64_t failed = run.summary.overall.failed;
    out += fmt::format("<td{}>{}</td></tr>", failed > 0 ? " class=\"bad\"" : "",
                       group_digits(static_cast<double>(failed)));
  }
  return out + "</tbody></table></div>";
}

const ReportRun& fastest(std::span<const ReportRun> runs) {
  // Who fails more may well be sooner with the rest.
  const auto key = [](const ReportRun& run) {
    return std::pair(run.summary.overall.failed, run.summary.overall.ttft.mean);
  };
  return *std::ranges::min_element(runs, {}, key);
}

// What a reader should take home, from the figures alone.
std::string finding(std::span<const ReportRun> runs) {
  if (runs.size() < 2) return {};
  const ReportRun& best = fastest(runs);
  const bool some_fail_more = std::ranges::any_of(runs, [&](const ReportRun& run) {
    return run.summary.overall.failed > best.summary.overall.failed;
  });
  std::string out = fmt::format(
      "<p class=\"finding\"><strong>{}</strong> has the lowest mean time to first token{}: "
      "<strong>{}</strong>",
      escape_html(best.name), some_fail_more ? " of those that fail least" : "",
      format_value(best.summary.overall.ttft.mean, Unit::kSeconds));
  const char* join = ", against ";
  for (const ReportRun& run : runs) {
    if (&run == &best) continue;
    out += fmt::format("{}{} with {}", join,
                       format_value(run.summary.overall.ttft.mean, Unit::kSeconds),
                       escape_html(run.name));
    join = ", ";
  }
  return out + ".</p>";
}

std::string tiles(const ReportRun& run) {
  const Section& all = run.summary.overall;
  const std::pair<const char*, std::string> facts[] = {
      {"Mean time to first token", format_value(all.ttft.mean, Unit::kSeconds)},
      {"99th percentile", format_value(all.ttft.p99(), Unit::kSeconds)},
      {"Prefix-cache hit rate", format_value(all.hit_rate, Unit::kPercent)},
      {"Output tokens per second", format_value(all.output_tokens_per_s, Unit::kCount)},
      {"Failed requests", fmt::format("{} of {}", group_digits(static_cast<double>(all.failed)),
                                      group_digits(static_cast<double>(all.sent)))}};
  std::string out = fmt::format("<ul class=\"tiles\" aria-label=\"{}\">", escape_html(run.name));
  for (const auto& [label, value] : facts) {
    out += fmt::format("<li><span>{}</span><b>{}</b></li>", label, value);
  }
  return out + "</ul>";
}

std::string legend(std::span<const std::string> names) {
  if (names.size() < 2) return {};
  std::string out = "<ul class=\"legend\">";
  for (std::size_t i = 0; i < names.size(); ++i) {
    out += fmt::format("<li>{}{}</li>", series_swatch(i), escape_html(names[i]));
  }
  return out + "</ul>";
}

std::string figure(const std::string& title, const std::string& note, const std::string& keys,
                   const std::string& svg, const std::string& table, const char* width = "") {
  return fmt::format(
      "<figure class=\"card{}\"><figcaption><h3>{}</h3><p>{}</p></figcaption>{}{}"
      "<details><summary>Figures as a table</summary><div class=\"scroll\" tabindex=\"0\">{}</div>"
      "</details></figure>",
      width, escape_html(title), escape_html(note), keys, svg, table);
}

std::string table_head(const std::string& first, std::span<const std::string> names) {
  std::string out = fmt::format("<table><thead><tr><th scope=\"col\">{}</th>", escape_html(first));
  for (const std::string& name : names) {
    out += fmt::format("<th scope=\"col\">{}</th>", escape_html(name));
  }
  return out + "</tr></thead><tbody>";
}

// A line chart as a table: a dozen places on the x axis at most, the point at or before each.
std::string line_table(const LineChart& chart, std::span<const std::string> names) {
  std::vector<double> places;
  for (const ChartLine& line : chart.lines) {
    std::vector<double> own;
    for (const auto& piece : line.pieces) {
      for (const ChartPoint& point : piece) own.push_back(point.x);
    }
    if (own.size() > places.size()) places = std::move(own);
  }
  std::string out = table_head(chart.x.label, names);
  const std::size_t step = std::max<std::size_t>(1, (places.size() + 15) / 16);
  for (std::size_t i = 0; i < places.size(); i += step) {
    out += fmt::format("<tr><th scope=\"row\">{}</th>", format_value(places[i], chart.x.unit));
    for (const ChartLine& line : chart.lines) {
      const ChartPoint* found = nullptr;
      for (const auto& piece : line.pieces) {
        for (const ChartPoint& point : piece) {
          if (point.x <= places[i] * (1 + 1e-9)) found = &point;
        }
      }
      out +=
          fmt::format("<td>{}</td>", found != nullptr ? format_value(found->y, chart.y.unit) : "–");
    }
    out += "</tr>";
  }
  return out + "</tbody></table>";
}

std::string line_figure(const LineChart& chart) {
  std::vector<std::string> names;
  for (const ChartLine& line : chart.lines) names.push_back(line.name);
  return figure(chart.title, chart.description, legend(names), draw(chart),
                line_table(chart, names));
}

std::string column_figure(const ColumnChart& chart) {
  std::string table = table_head(chart.x_label, chart.series);
  for (const ColumnGroup& group : chart.groups) {
    table += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(group.name));
    for (const double value : group.values) {
      table += fmt::format("<td>{}</td>", format_value(value, chart.y.unit));
    }
    table += "</tr>";
  }
  return figure(chart.title, chart.description, legend(chart.series), draw(chart),
                table + "</tbody></table>", " wide");
}

std::string bar_figure(const std::string& row, const BarChart& chart) {
  const std::string heading[] = {chart.title};
  std::string table = table_head(row, heading);
  for (const RankedBar& bar : chart.bars) {
    table += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape_html(bar.name),
                         format_value(bar.value, chart.x.unit));
  }
  return figure(chart.title, chart.description, {}, draw(chart), table + "</tbody></table>");
}

std::string charts(const std::string& row, std::span<const ReportRun> runs) {
  constexpr std::size_t kLadder = 3;  // Fewer stages make no curve.
  std::string out = "<div class=\"charts\">";
  out += line_figure(ttft_distribution_chart(runs));
  out += "<div class=\"stack\">" + bar_figure(row, hit_rate_chart(runs)) +
         bar_figure(row, throughput_chart(runs)) + "</div>";
  if (ladder_rungs(runs) >= kLadder) {
    out += line_figure(ladder_ttft_chart(runs));
    out += line_figure(ladder_throughput_chart(runs));
  } else {
    out += line_figure(ttft_median_over_time_chart(runs));
    out += line_figure(ttft_tail_over_time_chart(runs));
  }
  const ColumnChart endpoints = endpoint_chart(runs);
  if (!endpoints.groups.empty()) out += column_figure(endpoints);
  return out + "</div>";
}

// The stages of a run that has several.
std::string stages_html(const ReportRun& run) {
  if (run.summary.stages.size() < 2) return {};
  const std::string headings[] = {"Sent",     "Failed",  "Requests/s", "TTFT p50",
                                  "TTFT p95", "ITL p50", "Hit rate",   "Output tokens/s"};
  std::string out = fmt::format(
      "<figure class=\"card\"><figcaption><h3>{}, by stage</h3></figcaption>"
      "<div class=\"scroll\" tabindex=\"0\">{}",
      escape_html(run.name), table_head("Stage", headings));
  for (const Section& stage : run.summary.stages) {
    out += fmt::format("<tr><th scope=\"row\">{}{}</th>", escape_html(stage.name),
                       stage.kind == StageKind::kWarmUp ? " (warm-up)" : "");
    for (const std::string& text :
         {group_digits(static_cast<double>(stage.sent)),
          group_digits(static_cast<double>(stage.failed)),
          format_value(stage.requests_per_s, Unit::kPlain),
          cell_text(stage.ttft.p50(), Cell::kSeconds), cell_text(stage.ttft.p95(), Cell::kSeconds),
          interval_text(stage.token_interval), cell_text(stage.hit_rate, Cell::kPercent),
          cell_text(stage.output_tokens_per_s, Cell::kCount)}) {
      out += fmt::format("<td>{}</td>", text);
    }
    out += "</tr>";
  }
  return out + "</tbody></table></div></figure>";
}

void detail_row(std::string& out, const char* name, const Distribution& values) {
  if (values.count == 0) return;
  out += fmt::format("<tr><th scope=\"row\">{}</th>", name);
  for (const double value : {values.mean, values.min, values.p50(), values.p90(), values.p95(),
                             values.p99(), values.max}) {
    out += fmt::format("<td>{}</td>", format_value(value, Unit::kSeconds));
  }
  out += "</tr>";
}

std::string run_details(const ReportRun& run) {
  const std::string headings[] = {"mean", "min", "p50", "p90", "p95", "p99", "max"};
  const Section& all = run.summary.overall;
  std::string out = fmt::format(
      "<figure class=\"card\"><figcaption><h3>{}</h3><p>{} requests in {}: {} requests/s, {} input "
      "tokens/s, {} output tokens/s",
      escape_html(run.name), format_value(static_cast<double>(all.sent), Unit::kCount),
      format_value(all.benchmark_s, Unit::kSeconds), format_value(all.requests_per_s, Unit::kPlain),
      format_value(all.input_tokens_per_s, Unit::kCount),
      format_value(all.output_tokens_per_s, Unit::kCount));
  if (all.goodput) {
    out += fmt::format("; goodput {} requests/s, {} of the answers",
                       format_value(all.goodput->requests_per_s, Unit::kPlain),
                       format_value(all.goodput->share, Unit::kPercent));
  }
  for (const auto& [label, count] : all.failures) {
    out += fmt::format("; {} failed with {}", count, escape_html(label));
  }
  out += "</p></figcaption><div class=\"scroll\" tabindex=\"0\">" + table_head("latency", headings);
  detail_row(out, "Time to first token", all.ttft);
  detail_row(out, "End to end", all.request_latency);
  detail_row(out, "Inter-token, chunk gap spread", all.token_interval);
  detail_row(out, "Inter-token, as stamped", all.itl);
  detail_row(out, "Time per output token", all.tpot);
  detail_row(out, "Normalised time per output token", all.ntpot);
  // In virtual time everything is sent when it is due.
  if (all.schedule_delay.max > 0) {
    detail_row(out, "Schedule delay (wall time)", all.schedule_delay);
  }
  return out + "</tbody></table></div></figure>";
}

std::string terms(const char* heading, std::span<const std::pair<std::string, std::string>> pairs) {
  if (pairs.empty()) return {};
  std::string out = fmt::format("<h2>{}</h2><dl class=\"card\">", heading);
  for (const auto& [term, text] : pairs) {
    out += fmt::format("<dt>{}</dt><dd>{}</dd>", escape_html(term), escape_html(text));
  }
  return out + "</dl>";
}

}  // namespace

std::string html_page(const ReportText& text, std::string_view body) {
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      "<title>{0}</title><style>{1}</style></head><body><main>"
      "<header><h1>{0}</h1><p>{2}</p></header>{3}",
      escape_html(text.title), kReportStyle, escape_html(text.subtitle), body);
  out += terms("Method", text.method) + terms("Machine", text.machine);
  if (!text.command.empty()) {
    out += fmt::format("<h2>Reproduce</h2><pre class=\"card\"><code>{}</code></pre>",
                       escape_html(text.command));
  }
  return out + fmt::format("<footer>Made by fairlead, {}.</footer></main></body></html>\n",
                           escape_html(text.generated));
}

std::string scatter_figure(const ScatterChart& chart) {
  std::string keys = "<ul class=\"legend\">";
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    keys += fmt::format("<li>{}{}</li>", point_swatch(i), escape_html(chart.series[i]));
  }
  TextTable table;
  table.row({"", chart.x.label, chart.y.label});
  for (const ScatterPoint& point : chart.points) {
    table.row({point.name, format_value(point.at.x, chart.x.unit),
               format_value(point.at.y, chart.y.unit)});
  }
  return figure(chart.title, chart.description, keys + "</ul>", draw(chart), table.html());
}

std::string html_report(const ReportText& text, std::span<const ReportRun> runs) {
  if (runs.empty()) return html_page(text, {});
  std::string body = finding(runs) + tiles(fastest(runs));
  body += "<h2>Results</h2>" + comparison_html(text.row, runs);
  body += "<h2>Charts</h2>" + charts(text.row, runs);
  body += "<h2>Latency in full</h2><div class=\"rows\">";
  for (const ReportRun& run : runs) body += run_details(run) + stages_html(run);
  return html_page(text, body + "</div>");
}

}  // namespace fairlead::load
