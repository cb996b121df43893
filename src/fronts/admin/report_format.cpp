// SPDX-License-Identifier: Apache-2.0
#include "fronts/admin/report_format.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <iterator>
#include <vector>

namespace fairlead::admin {
namespace {

using scheduling::kFigures;
using scheduling::ScoreKind;

std::string_view yes_no(bool value) { return value ? "true" : "false"; }

// What a person reads: of small figures three digits behind the point, of large ones one.
std::string number(float value) {
  const double steps = std::abs(value) < 100 ? 1000 : 10;
  const double rounded = std::round(static_cast<double>(value) * steps) / steps;
  return fmt::format("{}", rounded == 0 ? 0.0 : rounded);
}

// A name from outside must not steer the terminal.
std::string printable(std::string_view name) {
  std::string out(name);
  std::ranges::replace_if(out, [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }, '?');
  return out;
}

std::string_view why_chosen(scheduling::Reason reason) {
  switch (reason) {
    case scheduling::Reason::kOnlyCandidate:
      return "the only candidate left";
    case scheduling::Reason::kPrefix:
      return "won, and is expected to hold at least half of the prompt";
    case scheduling::Reason::kScore:
      return "won on the total";
    case scheduling::Reason::kTie:
      return "the best total was shared, chance decided";
    case scheduling::Reason::kHolder:
      return "made the response that the request continues";
    case scheduling::Reason::kNoScorer:
      return "the policy does not score";
  }
  return "unknown";
}

void append_row(const ReportRow& row, bool chosen, codec::JsonWriter& json) {
  json.begin_object().key("endpoint").string(row.endpoint);
  json.key("chosen").raw(yes_no(chosen)).key("saw").begin_object();
  for (std::size_t i = 0; i < kFigures.size(); ++i) {
    json.key(kFigures[i].name).number(static_cast<double>(row.figures[i]));
  }
  json.end_object();
  if (!row.removed_by.empty()) {
    json.key("removed_by").string(row.removed_by);
  } else if (!row.terms.empty()) {
    json.key("terms").begin_array();
    for (const float term : row.terms) json.number(static_cast<double>(term));
    json.end_array().key("total").number(static_cast<double>(row.total));
  }
  json.end_object();
}

using Line = std::vector<std::string>;

Line head_line(const DecisionReport& report) {
  Line line = {"", "endpoint"};
  for (const auto& figure : kFigures) line.emplace_back(figure.name);
  for (const auto& term : report.terms) {
    line.push_back(fmt::format("{} x{}", term.name, number(term.weight)));
  }
  line.emplace_back("total");
  return line;
}

Line row_line(const ReportRow& row, const DecisionReport& report) {
  Line line = {!report.chosen.empty() && &row == &report.rows.front() ? "*" : "",
               printable(row.endpoint)};
  for (const float figure : row.figures) line.push_back(number(figure));
  if (!row.removed_by.empty()) {
    line.push_back("removed by " + printable(row.removed_by));
  } else if (row.terms.size() == report.terms.size()) {
    for (const float term : row.terms) line.push_back(number(term));
    line.push_back(number(row.total));
  }
  return line;
}

// The columns that are 0 in every row say nothing; endpoint and terms always stay.
std::vector<bool> columns_shown(const DecisionReport& report, std::size_t columns) {
  std::vector<bool> shown(columns, true);
  for (std::size_t i = 0; i < kFigures.size(); ++i) {
    shown[i + 2] = std::ranges::any_of(
        report.rows, [&](const ReportRow& row) { return row.figures[i] != 0.0F; });
  }
  return shown;
}

void append_table(const DecisionReport& report, std::string& out) {
  std::vector<Line> lines = {head_line(report)};
  for (const ReportRow& row : report.rows) lines.push_back(row_line(row, report));
  const std::size_t columns = lines.front().size();
  const std::vector<bool> shown = columns_shown(report, columns);
  std::vector<std::size_t> widths(columns);
  for (const Line& line : lines) {
    // What a filter removed has a remark instead of terms, as wide as it likes.
    const std::size_t cells = line.size() == columns ? columns : 2 + kFigures.size();
    for (std::size_t i = 0; i < cells; ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const Line& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (!shown[i]) continue;
      const bool left = i < 2 || (line.size() != columns && i >= 2 + kFigures.size());
      text += left ? fmt::format("{:<{}}  ", line[i], widths[i])
                   : fmt::format("{:>{}}  ", line[i], widths[i]);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
  if (report.rows_left_out > 0) out += fmt::format("and {} more rows\n", report.rows_left_out);
}

void append_verdict(const DecisionReport& report, std::string& out) {
  const bool dry = report.request_id.empty();
  if (report.chosen.empty()) {
    fmt::format_to(std::back_inserter(out), "{} nowhere: {}\n", dry ? "would go" : "went",
                   model::to_string(report.reply));
    return;
  }
  fmt::format_to(std::back_inserter(out), "{} to {}: {} ({})\n", dry ? "would go" : "went",
                 printable(report.chosen), why_chosen(report.reason),
                 scheduling::to_string(report.reason));
}

}  // namespace

void append_report(const DecisionReport& report, codec::JsonWriter& json) {
  json.begin_object().key("request_id").string(report.request_id);
  json.key("worker").number(std::uint64_t{report.worker}).key("number").number(report.number);
  json.key("model").string(report.model).key("policy").string(report.policy);
  json.key("time").number(report.unix_seconds).key("age_seconds").number(report.age_seconds);
  json.key("attempt").number(std::uint64_t{report.attempt});
  json.key("prompt_tokens").number(report.prompt_tokens);
  json.key("expected_cached_tokens").number(report.cached_tokens);
  json.key("chosen");
  if (report.chosen.empty()) {
    json.raw("null").key("reason").raw("null");
    json.key("reply").string(model::to_string(report.reply));
  } else {
    json.string(report.chosen).key("reason").string(scheduling::to_string(report.reason));
    json.key("why").string(why_chosen(report.reason));
    json.key("reply").raw("null");
  }
  json.key("lower_wins").raw(yes_no(report.kind == ScoreKind::kTokens));
  json.key("picker").string(report.picker).key("terms").begin_array();
  for (const auto& term : report.terms) {
    json.begin_object().key("name").string(term.name);
    json.key("weight").number(static_cast<double>(term.weight)).end_object();
  }
  json.end_array().key("rows").begin_array();
  for (const ReportRow& row : report.rows) {
    append_row(row, !report.chosen.empty() && &row == &report.rows.front(), json);
  }
  json.end_array().key("rows_left_out").number(std::uint64_t{report.rows_left_out});
  json.key("absent").begin_array();
  for (const auto& absent : report.absent) {
    json.begin_object().key("endpoint").string(absent.endpoint);
    json.key("why").string(absent.why).end_object();
  }
  json.end_array().key("absent_left_out").number(std::uint64_t{report.absent_left_out});
  json.key("doubt").string(report.doubt).end_object();
}

void append_report(const DecisionReport& report, std::string& out) {
  const auto to = std::back_inserter(out);
  if (report.request_id.empty()) {
    fmt::format_to(to, "dry run: nothing was sent");
  } else {
    fmt::format_to(to, "request {}, try {}, {:%Y-%m-%d %H:%M:%S} UTC ({:.1f} s ago)",
                   printable(report.request_id), report.attempt,
                   fmt::gmtime(static_cast<std::time_t>(report.unix_seconds)), report.age_seconds);
  }
  fmt::format_to(to, "\nmodel {}, prompt about {} tokens", printable(report.model),
                 report.prompt_tokens);
  if (!report.chosen.empty()) {
    fmt::format_to(to, ", {} of them expected in the cache of {}", report.cached_tokens,
                   printable(report.chosen));
  }
  out += '\n';
  if (!report.policy.empty()) {
    fmt::format_to(to, "policy {}: {}, picker {}\n", report.policy,
                   report.kind == ScoreKind::kTokens ? "costs in prompt tokens, the lowest wins"
                                                     : "scores, the highest wins",
                   report.picker);
  }
  append_verdict(report, out);
  if (!report.doubt.empty()) fmt::format_to(to, "note: {}\n", report.doubt);
  if (!report.rows.empty()) {
    out += '\n';
    append_table(report, out);
  }
  if (report.absent.empty()) return;
  out += "\nnot in the table:\n";
  for (const auto& absent : report.absent) {
    fmt::format_to(to, "  {}  {}\n", printable(absent.endpoint), absent.why);
  }
  if (report.absent_left_out > 0) fmt::format_to(to, "  and {} more\n", report.absent_left_out);
}

}  // namespace fairlead::admin
