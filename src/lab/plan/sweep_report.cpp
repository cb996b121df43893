// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/sweep_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "lab/plan/sweep_tables.h"

namespace fairlead::plan {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kMeaning =
    "Ratios are TTFT over the best of the rivals on the same workload and seed, each figure by "
    "itself; below 1 is better than all of them.";

// Ten-thousandths of a ratio or a second; what is infinite becomes null.
Json rounded(double value) {
  return std::isfinite(value) ? Json(std::round(value * 1e4) / 1e4) : Json();
}

Json rounded(const Scored& figures) {
  Json json = Json::array();
  for (const double figure : figures) json.push_back(rounded(figure));
  return json;
}

Json rounded(const Interval& interval) {
  return Json::array({rounded(interval.low), rounded(interval.high)});
}

Json parameters_json(const Parameters& parameters) {
  Json json = Json::object();
  for (const auto& [name, value] : parameters) {
    Json number = Json::parse(value, nullptr, false);
    json[name] = number.is_number() ? std::move(number) : Json(value);
  }
  return json;
}

// What every contender has; those shown say more.
Json tried_json(const Tried& tried, std::span<const std::string> workloads) {
  const Score& score = tried.score;
  Json json = {{"seeds", tried.seeds},
               {"geometric_mean", rounded(score.geometric_mean)},
               {"interval", rounded(score.interval)}};
  json["worst_workload"] = {{"ratio", rounded(score.worst_workload.ratio)},
                            {"workload", workloads[score.worst_workload.workload]},
                            {"figure", kScoredFigures[score.worst_workload.figure]}};
  json["worst_seed"] = {{"ratio", rounded(score.worst_seed.ratio)},
                        {"workload", workloads[score.worst_seed.workload]},
                        {"seed", score.worst_seed.seed}};
  json["failed_more"] = score.failed_more;
  for (std::size_t i = 0; i < workloads.size(); ++i) {
    json["ratios"][workloads[i]] = rounded(score.workloads[i]);
  }
  return json;
}

void add_details(Json& json, const Tried& tried, std::span<const std::string> workloads,
                 std::uint64_t seed) {
  for (std::size_t at = 0; at < workloads.size(); ++at) {
    Json intervals = Json::array();
    Json medians = Json::array();
    for (std::size_t figure = 0; figure < kScoredFigures.size(); ++figure) {
      const PairedRatio ratio = figure_ratio(tried, at, figure, seed);
      intervals.push_back(rounded(ratio.interval));
      medians.push_back(rounded(ratio.median));
    }
    json["intervals"][workloads[at]] = std::move(intervals);
    json["medians"][workloads[at]] = std::move(medians);
    Json by_seed = Json::array();
    for (const Scored& row : tried.score.by_seed[at]) by_seed.push_back(rounded(row));
    json["by_seed"][workloads[at]] = std::move(by_seed);
    json["figures_s"][workloads[at]] = rounded(mean_figures(tried.runs[at]));
  }
}

Json rivals_json(const SweepReport& report, const SweepPart& part) {
  Json json = Json::array();
  for (std::size_t i = 0; i < part.rivals.size(); ++i) {
    Json entry = {{"rival", report.rivals[i]},
                  {"geometric_mean", rounded(part.rival_scores[i].geometric_mean)},
                  {"interval", rounded(part.rival_scores[i].interval)}};
    for (std::size_t at = 0; at < part.workloads.size(); ++at) {
      entry["ratios"][part.workloads[at]] = rounded(part.rival_scores[i].workloads[at]);
      entry["figures_s"][part.workloads[at]] = rounded(mean_figures(part.rivals[i][at]));
    }
    json.push_back(std::move(entry));
  }
  return json;
}

Json contenders_json(const SweepReport& report) {
  Json json = Json::array();
  const std::vector<std::size_t>& shown = report.result.shown;
  for (std::size_t at = 0; at < report.contenders.list.size(); ++at) {
    const Tried& tried = report.result.tried[at];
    Json entry = {{"parameters", parameters_json(report.contenders.list[at])}};
    entry.update(tried_json(tried, report.workloads));
    if (std::ranges::find(shown, at) != shown.end()) {
      add_details(entry, tried, report.workloads, report.settings.seed);
    }
    json.push_back(std::move(entry));
  }
  return json;
}

Json validation_json(const SweepReport& report) {
  if (report.judged_on.empty()) return {};
  Json json = {{"workloads", report.judged_on}, {"contenders", Json::array()}};
  for (std::size_t i = 0; i < report.judgement.judged.size(); ++i) {
    const Tried& tried = report.judgement.judged[i];
    Json entry = {{"contender", report.result.shown[i]}};
    entry.update(tried_json(tried, report.judged_on));
    add_details(entry, tried, report.judged_on, report.settings.seed);
    json["contenders"].push_back(std::move(entry));
  }
  json["rival_scores"] = rivals_json(report, judged_part(report));
  return json;
}

Json fleet_of(const StudySettings& study) {
  Json fleet = {{"engines", study.world.engines},
                {"profile", study.world.engine.name},
                {"kv_tokens", study.world.engine.kv_tokens},
                {"routers", study.world.routers},
                {"scrape_s", to_seconds(study.world.scrape_interval)}};
  if (study.world.exchange_delay) fleet["exchange_s"] = to_seconds(*study.world.exchange_delay);
  return fleet;
}

// A line for each thing that a reader may look for, so that two logs can be compared.
std::string in_lines(const Json& json, std::size_t depth) {
  constexpr std::size_t kShort = 90;
  std::string flat = json.dump();
  const bool is_list = json.is_array() && !json.empty() && json.front().is_structured();
  if (flat.size() < kShort || depth == 3 || !(json.is_object() || is_list)) return flat;
  const std::string margin(depth + 1, ' ');
  std::string out;
  for (const auto& [key, value] : json.items()) {
    out += fmt::format("{}{}{}{}", out.empty() ? "" : ",\n", margin,
                       is_list ? "" : Json(key).dump() + ": ",
                       is_list ? value.dump() : in_lines(value, depth + 1));
  }
  return fmt::format("{}\n{}\n{}{}", is_list ? "[" : "{", out, std::string(depth, ' '),
                     is_list ? "]" : "}");
}

std::string_view front_heading(const SweepReport& report) {
  return report.result.shown.size() > report.result.front.size() ? "Pareto front, and the defaults"
                                                                 : "Pareto front";
}

std::string best_sentence(const SweepReport& report) {
  return fmt::format("Best: {}", contender_name(report, report.result.front.front()));
}

constexpr std::array kMarks = {"tried", "front", "defaults"};
constexpr std::size_t kMarkOfDefaults = 2;

std::size_t mark_of(const SweepReport& report, std::size_t at) {
  if (at < report.contenders.defaults) return kMarkOfDefaults;
  const std::vector<std::size_t>& front = report.result.front;
  return std::ranges::find(front, at) != front.end() ? 1 : 0;
}

load::ScatterChart front_chart(const SweepReport& report) {
  load::ScatterChart chart;
  chart.id = "front";
  chart.title = "Contenders that had all seeds";
  chart.description =
      "Geometric mean over all workloads against the worst workload; below 1 is better than every "
      "rival. Nothing is better on both than a contender of the front.";
  chart.series.assign(kMarks.begin(), kMarks.end());
  if (report.contenders.defaults == 0) chart.series.resize(kMarkOfDefaults);
  std::vector<double> x;
  std::vector<double> y;
  // What is drawn last is seen best.
  for (std::size_t mark = 0; mark < chart.series.size(); ++mark) {
    for (std::size_t at = 0; at < report.result.tried.size(); ++at) {
      const Tried& tried = report.result.tried[at];
      const Objectives place = objectives(tried.score);
      if (tried.seeds < report.settings.seeds || mark_of(report, at) != mark ||
          !std::isfinite(place.worst)) {
        continue;
      }
      x.push_back(place.geometric_mean);
      y.push_back(place.worst);
      chart.points.push_back({contender_name(report, at), {x.back(), y.back()}, mark});
    }
  }
  chart.x = load::axis_around("geometric mean of TTFT over the best rival", load::Unit::kPlain, x);
  chart.y = load::axis_around("worst workload", load::Unit::kPlain, y);
  return chart;
}

std::string table_card(const load::TextTable& table) {
  return "<div class=\"card scroll\" tabindex=\"0\">" + table.html() + "</div>";
}

std::string part_text(const SweepReport& report, const SweepPart& part) {
  return fmt::format("{}\n{}, by workload\n{}\nRivals, measured alike\n{}",
                     front_table(report, part).text(), best_sentence(report),
                     workload_table(report, part).text(), rival_table(report, part).text());
}

std::string part_html(const SweepReport& report, const SweepPart& part) {
  return fmt::format(
      "<div class=\"rows\">{}<h3>{}, by workload</h3>{}<h3>Rivals, measured alike</h3>{}</div>",
      table_card(front_table(report, part)), load::escape_html(best_sentence(report)),
      table_card(workload_table(report, part)), table_card(rival_table(report, part)));
}

}  // namespace

std::string sweep_table(const SweepReport& report) {
  std::string out = fmt::format("{}\n{}\n\n{}\n{}", heading(report), kMeaning,
                                front_heading(report), part_text(report, searched_part(report)));
  if (report.judged_on.empty()) return out;
  return out + fmt::format("\nValidation: {}. Nothing was chosen by these.\n{}",
                           fmt::join(report.judged_on, ", "),
                           part_text(report, judged_part(report)));
}

std::string sweep_json(const SweepReport& report) {
  Json json = {{"policy", report.policy},
               {"template", report.template_text},
               {"vary", report.variations},
               {"search", report.contenders.search == Search::kGrid ? "grid" : "samples"},
               {"seed", report.study.first_seed},
               {"seeds", report.settings.seeds},
               {"fleet", fleet_of(report.study)},
               {"workloads", report.workloads},
               {"rivals", report.rivals},
               {"figures", kScoredFigures},
               {"rungs", Json::array()}};
  json["defaults"] = report.contenders.defaults > 0 ? Json(0) : Json();
  for (const Rung& rung : report.result.rungs) {
    json["rungs"].push_back({{"contenders", rung.contenders}, {"seeds", rung.seeds}});
  }
  json["contenders"] = contenders_json(report);
  json["front"] = report.result.front;
  json["best"] = report.result.front.front();
  json["rival_scores"] = rivals_json(report, searched_part(report));
  json["validation"] = validation_json(report);
  return in_lines(json, 0) + "\n";
}

std::string sweep_html(const load::ReportText& text, const SweepReport& report) {
  std::string body = fmt::format("<p class=\"finding\">{}</p><p>{}</p>",
                                 load::escape_html(best_sentence(report)), kMeaning);
  body += fmt::format("<h2>{}</h2>", front_heading(report)) + "<div class=\"charts\">" +
          load::scatter_figure(front_chart(report)) + "</div><h3>Contenders</h3>" +
          part_html(report, searched_part(report));
  if (!report.judged_on.empty()) {
    body += fmt::format("<h2>Validation</h2><p>Nothing was chosen by these workloads: {}.</p>",
                        load::escape_html(fmt::format("{}", fmt::join(report.judged_on, ", "))));
    body += part_html(report, judged_part(report));
  }
  return load::html_page(text, body);
}

}  // namespace fairlead::plan
