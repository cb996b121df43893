// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "lab/load/model/chart.h"

namespace fairlead::load {
namespace {

struct Shape {
  std::string name;
  double ttft_s = 1;
  double hit = 0.1;
};

// A run whose latencies are drawn from a distribution: what a report is made for.
ReportRun made_run(const Workload& workload, const Shape& shape, std::uint64_t seed) {
  Random random(seed);
  ReportRun run{shape.name, {}, {}};
  for (int i = 0; i < 8; ++i) run.records.endpoints.push_back("127.0.0.1:900" + std::to_string(i));
  run.records.scale = TimeScale{4};
  const auto wall = [](double model) { return from_seconds(model / 4); };
  for (std::uint32_t i = 0; i < 2000; ++i) {
    RequestRecord record;
    record.request = i;
    const double sent = i * 0.15;
    record.sent = record.scheduled = Time(wall(sent));
    record.prompt_tokens = 8000;
    record.cached_tokens = static_cast<std::uint32_t>(8000 * shape.hit);
    record.endpoint = static_cast<std::uint16_t>(random.below(8));
    const double wave = 1 + 0.8 * std::sin(sent / 40);
    double now = sent + shape.ttft_s * wave * std::exp(random.normal());
    TokenClock clock;
    for (int chunk = 0; chunk < 20; ++chunk, now += 0.3) clock.add(record, Time(wall(now)), 8);
    record.finished = Time(wall(now - 0.3));
    run.records.requests.push_back(std::move(record));
  }
  run.records.spans = {{Time{}, Time(wall(330))}};
  run.summary = summarize(workload, run.records, {});
  return run;
}

Workload one_stage() {
  Workload workload;
  workload.name = "replay";
  workload.stages.push_back(
      {"replay", StageKind::kMeasured, 6.7, 0, from_seconds(300), {}, 0, 2000});
  return workload;
}

std::vector<ReportRun> four_runs() {
  const Workload workload = one_stage();
  return {made_run(workload, {"random", 6, 0.05}, 1),
          made_run(workload, {"least-request", 1.6, 0.052}, 2),
          made_run(workload, {"blend", 0.9, 0.09}, 3),
          made_run(workload, {"fairlead", 0.6, 0.104}, 4)};
}

ReportText some_text() {
  ReportText text;
  text.title = "Routing policies on a conversation trace";
  text.subtitle = "A stretch <of> the trace & its prompts.";
  text.generated = "2026-01-02 03:04 UTC";
  text.command = "make run";
  text.method = {{"Workload", "2,000 requests, twice compressed"}};
  text.machine = {{"Processor", "2 cores"}};
  return text;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines(1);
  for (const char c : text) {
    if (c == '\n') {
      lines.emplace_back();
    } else {
      lines.back() += c;
    }
  }
  lines.pop_back();
  return lines;
}

std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST(ComparisonTable, ColumnsLineUp) {
  const auto runs = four_runs();
  const auto lines = lines_of(comparison_table(runs));
  ASSERT_EQ(lines.size(), 6u);
  for (const std::string& line : lines) EXPECT_EQ(line.size(), lines[0].size()) << line;
  EXPECT_TRUE(lines[0].starts_with("policy         TTFT mean s")) << lines[0];
  EXPECT_TRUE(lines[3].starts_with("least-request")) << lines[3];
  EXPECT_NE(lines[5].find("10.4"), std::string::npos);  // The hit rate of the last.
  EXPECT_NE(lines[5].find("37.5"), std::string::npos);  // 300 ms a chunk of 8.
}

TEST(RunTable, ShowsFailuresStagesAndEndpoints) {
  Workload workload = one_stage();
  ReportRun run = made_run(workload, {"x", 1, 0.5}, 9);
  run.records.requests[3].outcome = Outcome::kTimedOut;
  SloLimits limits;
  limits.ttft = 1.5;
  const std::string text = run_table(summarize(workload, run.records, limits));
  EXPECT_NE(text.find("2,000 requests sent in 330.0 s, 1,999 answered, 1 failed"), text.npos);
  EXPECT_NE(text.find("failed with timed_out: 1"), text.npos);
  EXPECT_NE(text.find("ttft met by"), text.npos);
  EXPECT_NE(text.find("127.0.0.1:9007"), text.npos);
}

TEST(SummaryJson, HasInferencePerfsKeys) {
  const auto runs = four_runs();
  const auto json = nlohmann::json::parse(summary_json(some_text(), runs));
  ASSERT_EQ(json["runs"].size(), 4u);
  const auto& run = json["runs"][3];
  EXPECT_EQ(run["name"], "fairlead");
  EXPECT_DOUBLE_EQ(run["benchmark_time_seconds"], 330);
  EXPECT_EQ(run["load_summary"]["count"], 2000);
  EXPECT_DOUBLE_EQ(run["successes"]["latency"]["time_to_first_token"]["p99"],
                   runs[3].summary.overall.ttft.p99());
  EXPECT_DOUBLE_EQ(run["successes"]["latency"]["inter_token_latency"]["median"], 0);
  EXPECT_TRUE(run["successes"]["throughput"].contains("output_tokens_per_sec"));
  EXPECT_EQ(run["failures"]["count"], 0);
  EXPECT_EQ(run["failures"]["by_label"], nlohmann::json::object());
  EXPECT_EQ(run["stages"].size(), 1u);
  EXPECT_EQ(run["endpoints"].size(), 8u);
}

TEST(HtmlReport, IsSelfContainedEscapedAndAccessible) {
  const auto runs = four_runs();
  const std::string html = html_report(some_text(), runs);
  if (const char* path = std::getenv("FAIRLEAD_KEEP_REPORT")) std::ofstream(path) << html;
  EXPECT_EQ(html.find("<script"), html.npos);
  EXPECT_EQ(html.find("http"), html.npos);
  EXPECT_EQ(html.find("url("), html.npos);
  EXPECT_EQ(html.find("nan"), html.npos);
  EXPECT_NE(html.find("A stretch &lt;of&gt; the trace &amp; its prompts."), html.npos);
  EXPECT_EQ(count_of(html, "role=\"img\""), 6u);
  EXPECT_EQ(count_of(html, "<desc id="), 6u);
  EXPECT_EQ(count_of(html, "Figures as a table"), 6u);
  EXPECT_NE(html.find("<strong>fairlead</strong> has the lowest mean"), html.npos);
  EXPECT_NE(html.find("prefers-color-scheme:dark"), html.npos);
  EXPECT_LT(html.size(), 300'000u);
}

TEST(HtmlReport, ShowsTheStagesOfALadder) {
  Workload workload = one_stage();
  workload.stages.push_back({"8/s", StageKind::kMeasured, 8, 0, from_seconds(30), {}, 2000, 0});
  const std::vector<ReportRun> runs = {made_run(workload, {"x", 1, 0.5}, 9)};
  const std::string html = html_report(some_text(), runs);
  EXPECT_NE(html.find("x, by stage"), html.npos);
  EXPECT_NE(html.find("<th scope=\"row\">8/s</th>"), html.npos);
  std::vector<ReportRun> unmeasured = runs;
  for (Section& stage : unmeasured[0].summary.stages) stage.token_interval = {};
  EXPECT_GT(count_of(html_report(some_text(), unmeasured), "<td>–</td>"),
            count_of(html, "<td>–</td>"));
  EXPECT_EQ(html_report(some_text(), four_runs()).find("by stage"), html.npos);
}

TEST(HtmlReport, APageOfScatteredPointsIsEscapedAndHasThemAsATable) {
  ScatterChart chart;
  chart.id = "front";
  chart.title = "Mean & worst";
  chart.series = {"tried", "best"};
  chart.points = {{"a<1", {0.9, 1.1}, 0}, {"a=2", {0.8, 1.4}, 1}};
  const double xs[] = {0.9, 0.8};
  const double ys[] = {1.1, 1.4};
  chart.x = axis_around("mean", Unit::kPlain, xs);
  chart.y = axis_around("worst", Unit::kPlain, ys);
  EXPECT_LT(chart.x.low, 0.8);
  EXPECT_GT(chart.x.low, 0.7) << "not from 0";
  EXPECT_GT(chart.y.high, 1.4);
  const std::string page = html_page(some_text(), scatter_figure(chart));
  EXPECT_NE(page.find("<title>a&lt;1 (tried): 0.9, 1.1</title>"), page.npos);
  EXPECT_EQ(page.find("a<1"), page.npos);
  EXPECT_NE(page.find("<rect class=\"fill s1\""), page.npos);
  EXPECT_NE(page.find("<th scope=\"row\">a=2</th><td>0.8</td><td>1.4</td>"), page.npos);
  EXPECT_NE(page.find("Mean &amp; worst"), page.npos);
  EXPECT_NE(page.find("Made by fairlead"), page.npos);
}

TEST(HtmlReport, OneRunIsNotCompared) {
  const std::vector<ReportRun> runs = {made_run(one_stage(), {"x", 1, 0.5}, 9)};
  ReportText text = some_text();
  EXPECT_EQ(html_report(text, runs).find("The best of each column"), std::string::npos);
  EXPECT_NE(html_report(text, runs).find(">Run</th>"), std::string::npos);
  text.row = "Policy";
  const std::string compared = html_report(text, four_runs());
  EXPECT_NE(compared.find("The best of each column"), std::string::npos);
  EXPECT_NE(compared.find(">Policy</th>"), std::string::npos);
}

TEST(Reports, ModelTimeIsNamedOnlyWhereItIsNotTheClocks) {
  std::vector<ReportRun> runs = {made_run(one_stage(), {"x", 1, 0.5}, 9)};
  EXPECT_NE(html_report(some_text(), runs).find("odel time"), std::string::npos);
  EXPECT_NE(summary_json(some_text(), runs).find("model time"), std::string::npos);
  runs[0].records.scale = TimeScale{1};
  EXPECT_EQ(html_report(some_text(), runs).find("odel time"), std::string::npos);
  EXPECT_EQ(summary_json(some_text(), runs).find("model time"), std::string::npos);
}

TEST(HtmlReport, SurvivesRunsWithoutAnswers) {
  const Workload workload = one_stage();
  ReportRun run{"nothing", {}, {}};
  run.summary = summarize(workload, run.records, {});
  const std::string html = html_report(some_text(), std::vector<ReportRun>{run});
  EXPECT_EQ(html.find("nan"), html.npos);
  EXPECT_EQ(html.find("inf\""), html.npos);
  EXPECT_NE(html_report(some_text(), {}).find("</html>"), html.npos);
}

TEST(Chart, AxesCoverTheirValues) {
  const double values[] = {0.02, 30};
  const Axis axis = axis_over("x", Unit::kSeconds, Scale::kLog, values);
  EXPECT_LT(axis.low, 0.02);
  EXPECT_GT(axis.high, 30);
  EXPECT_EQ(axis_over("x", Unit::kCount, Scale::kLinear, {}).high, 1);
  EXPECT_EQ(format_value(0.25, Unit::kSeconds), "250\u00a0ms");
  EXPECT_EQ(format_value(1234567, Unit::kCount), "1,234,567");
  EXPECT_EQ(format_value(0.5, Unit::kPercent), "50\u00a0%");
}

TEST(Chart, EscapesItsTexts) {
  BarChart chart{"i", "<b>", "\"d\"", {"x", Unit::kCount, Scale::kLinear, 0, 1}, {{"a&b", 1}}};
  const std::string svg = draw(chart);
  EXPECT_EQ(svg.find("<b>"), svg.npos);
  EXPECT_NE(svg.find("a&amp;b"), svg.npos);
}

}  // namespace
}  // namespace fairlead::load
