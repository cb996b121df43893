// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/study_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "lab/load/model/number_text.h"
#include "lab/load/model/text_table.h"
#include "lab/plan/paired_ratio.h"

namespace fairlead::plan {
namespace {

using Json = nlohmann::ordered_json;

struct NamedFigure {
  const char* key;
  Figure figure;
};

constexpr std::array kFigures = {
    NamedFigure{"ttft_mean_s", [](const RunFigures& run) { return run.ttft.mean; }},
    NamedFigure{"ttft_p50_s", [](const RunFigures& run) { return run.ttft.p50(); }},
    NamedFigure{"ttft_p90_s", [](const RunFigures& run) { return run.ttft.p90(); }},
    NamedFigure{"ttft_p95_s", [](const RunFigures& run) { return run.ttft.p95(); }},
    NamedFigure{"ttft_p99_s", [](const RunFigures& run) { return run.ttft.p99(); }},
    NamedFigure{"worst_stage_ttft_mean_s",
                [](const RunFigures& run) { return run.worst_stage_ttft_mean; }},
    NamedFigure{"tpot_mean_s", [](const RunFigures& run) { return run.tpot.mean; }},
    NamedFigure{"tpot_p95_s", [](const RunFigures& run) { return run.tpot.p95(); }},
    NamedFigure{"itl_mean_s", [](const RunFigures& run) { return run.itl.mean; }},
    NamedFigure{"itl_p95_s", [](const RunFigures& run) { return run.itl.p95(); }},
    NamedFigure{"request_latency_mean_s",
                [](const RunFigures& run) { return run.request_latency.mean; }},
    NamedFigure{"request_latency_p95_s",
                [](const RunFigures& run) { return run.request_latency.p95(); }},
    NamedFigure{"output_tokens_per_s",
                [](const RunFigures& run) { return run.output_tokens_per_s; }},
    NamedFigure{"stage_mean_output_tokens_per_s",
                [](const RunFigures& run) { return run.stage_mean_output_tokens_per_s; }},
    NamedFigure{"requests_per_s", [](const RunFigures& run) { return run.requests_per_s; }},
    NamedFigure{"hit_rate", [](const RunFigures& run) { return run.hit_rate; }},
    NamedFigure{"utilisation", [](const RunFigures& run) { return run.utilisation; }},
    NamedFigure{"imbalance", [](const RunFigures& run) { return run.imbalance; }},
    NamedFigure{"requests",
                [](const RunFigures& run) { return static_cast<double>(run.requests); }},
    NamedFigure{"failed", failed},
    NamedFigure{"steps", [](const RunFigures& run) { return static_cast<double>(run.steps); }},
    NamedFigure{"preemptions",
                [](const RunFigures& run) { return static_cast<double>(run.preemptions); }},
    NamedFigure{"cpu_s", [](const RunFigures& run) { return run.cpu_s; }},
};

Bounds mean_bounds(const StudyResult& result) {
  Bounds mean;
  const auto count = static_cast<double>(result.bounds.size());
  for (const Bounds& bounds : result.bounds) {
    mean.pooled_hit_rate += bounds.pooled_hit_rate / count;
    mean.belady_hit_rate += bounds.belady_hit_rate / count;
    mean.ttft_floor_s += bounds.ttft_floor_s / count;
    mean.fluid_output_tokens_per_s += bounds.fluid_output_tokens_per_s / count;
  }
  return mean;
}

std::string seconds(double value) { return fmt::format("{:.3f}", value); }
std::string percent(double share) { return fmt::format("{:.1f}", share * 100); }

Json bounds_json(const Bounds& bounds) {
  return {{"pooled_lru_hit_rate", bounds.pooled_hit_rate},
          {"belady_hit_rate", bounds.belady_hit_rate},
          {"ttft_floor_s", bounds.ttft_floor_s},
          {"fluid_output_tokens_per_s", bounds.fluid_output_tokens_per_s}};
}

Json ratios(const PolicyFigures& policy, const Bounds& bounds) {
  Json json = Json::object();
  const auto add = [&](const char* key, double value, double bound) {
    if (bound > 0) json[key] = value / bound;
  };
  add("hit_vs_pooled_lru", mean_of(policy, hit_rate), bounds.pooled_hit_rate);
  add("hit_vs_belady", mean_of(policy, hit_rate), bounds.belady_hit_rate);
  add("ttft_mean_vs_floor", mean_of(policy, ttft_mean), bounds.ttft_floor_s);
  add("throughput_vs_fluid", mean_of(policy, output_rate), bounds.fluid_output_tokens_per_s);
  return json;
}

// Its figures over those of the first policy, seed by seed. A figure that a run has not, because
// all of its requests failed, is left out.
Json ratios_to_first(const PolicyFigures& policy, const PolicyFigures& first) {
  constexpr std::array kCompared = {
      NamedFigure{"ttft_mean", ttft_mean},
      NamedFigure{"ttft_p95", [](const RunFigures& run) { return run.ttft.p95(); }},
      NamedFigure{"ttft_p99", [](const RunFigures& run) { return run.ttft.p99(); }},
  };
  Json json = Json::object();
  for (const NamedFigure& compared : kCompared) {
    std::vector<double> ratios;
    for (std::size_t seed = 0; seed < policy.runs.size(); ++seed) {
      const double value = compared.figure(policy.runs[seed]);
      const double base = compared.figure(first.runs[seed]);
      if (value > 0 && base > 0) ratios.push_back(value / base);
    }
    if (ratios.size() < policy.runs.size()) continue;
    const PairedRatio paired = paired_ratio(ratios, first.runs.front().seed);
    json[compared.key] = {{"mean", paired.mean},
                          {"low", paired.interval.low},
                          {"high", paired.interval.high},
                          {"median", paired.median},
                          {"worst", paired.worst}};
  }
  return json;
}

Json stages_json(const RunFigures& run) {
  Json json = Json::array();
  for (const StageFigures& stage : run.stages) {
    json.push_back({{"rate", stage.rate},
                    {"requests", stage.requests},
                    {"ttft_mean_s", stage.ttft_mean},
                    {"ttft_p90_s", stage.ttft_p90},
                    {"output_tokens_per_s", stage.output_tokens_per_s}});
  }
  return json;
}

Json policy_json(const PolicyFigures& policy, const PolicyFigures& first, const Bounds& bounds) {
  Json json = {{"policy", policy.policy}};
  for (const NamedFigure& figure : kFigures) {
    json["mean"][figure.key] = mean_of(policy, figure.figure);
  }
  json["worst_seed"] = {
      {"ttft_mean_s", worst_of(policy, ttft_mean)},
      {"ttft_p95_s", worst_of(policy, [](const RunFigures& run) { return run.ttft.p95(); })}};
  json["ratio_to_bound"] = ratios(policy, bounds);
  if (&policy != &first) json["ratio_to_first"] = ratios_to_first(policy, first);
  json["seeds"] = Json::array();
  for (const RunFigures& run : policy.runs) {
    Json seed = {{"seed", run.seed}};
    for (const NamedFigure& figure : kFigures) seed[figure.key] = figure.figure(run);
    if (run.stages.size() > 1) seed["stages"] = stages_json(run);
    json["seeds"].push_back(std::move(seed));
  }
  return json;
}

}  // namespace

std::string nothing_answered(const StudyResult& result, const StudySettings& settings) {
  for (const PolicyFigures& policy : result.policies) {
    for (const RunFigures& run : policy.runs) {
      if (run.failed < run.requests) return {};
    }
  }
  return fmt::format(
      "no request is answered under any policy: an engine of this profile takes at most {} tokens "
      "of prompt and answer (--profile, --kv-tokens)",
      settings.world.engine.max_model_len);
}

std::string study_table(const StudyResult& result) {
  const Bounds bounds = mean_bounds(result);
  load::TextTable table;
  table.row({"policy", "TTFT mean s", "worst seed", "p50 s", "p95 s", "p99 s", "TPOT ms", "hit %",
             "of pooled", "output tok/s", "of fluid", "imbalance", "failed"});
  table.rule();
  for (const PolicyFigures& policy : result.policies) {
    const auto mean = [&](Figure figure) { return mean_of(policy, figure); };
    const double hit = mean(hit_rate);
    const double rate = mean(output_rate);
    table.row(
        {policy.policy, seconds(mean(ttft_mean)), seconds(worst_of(policy, ttft_mean)),
         seconds(mean([](const RunFigures& run) { return run.ttft.p50(); })),
         seconds(mean([](const RunFigures& run) { return run.ttft.p95(); })),
         seconds(mean([](const RunFigures& run) { return run.ttft.p99(); })),
         fmt::format("{:.1f}", mean([](const RunFigures& run) { return run.tpot.mean * 1000; })),
         percent(hit), bounds.pooled_hit_rate > 0 ? percent(hit / bounds.pooled_hit_rate) : "-",
         load::group_digits(rate),
         bounds.fluid_output_tokens_per_s > 0 ? percent(rate / bounds.fluid_output_tokens_per_s)
                                              : "-",
         fmt::format("{:.2f}", mean([](const RunFigures& run) { return run.imbalance; })),
         load::group_digits(
             mean([](const RunFigures& run) { return static_cast<double>(run.failed); }))});
  }
  const std::string_view note =
      std::ranges::any_of(result.policies, has_failures)
          ? "Requests that failed are in the bounds and in no other figure; those too long "
            "for an engine do (--profile, --kv-tokens).\n"
          : "";
  return table.text() + std::string(note) + fmt::format("Bounds: {}.\n", bounds_text(bounds));
}

std::string bounds_text(const Bounds& bounds) {
  return fmt::format(
      "hit {} % in one pooled cache (LRU), {} % by Belady's rule; TTFT mean at least {} s; output "
      "at most {} tokens/s",
      percent(bounds.pooled_hit_rate), percent(bounds.belady_hit_rate),
      seconds(bounds.ttft_floor_s), load::group_digits(bounds.fluid_output_tokens_per_s));
}

std::string study_json(const StudyResult& result, const StudySettings& settings) {
  Json json = {{"workload", result.workload},
               {"fleet",
                {{"engines", settings.world.engines},
                 {"profile", settings.world.engine.name},
                 {"kv_tokens", settings.world.engine.kv_tokens},
                 {"block_size", settings.world.engine.block_size},
                 {"speeds", settings.world.speeds}}}};
  const Bounds bounds = mean_bounds(result);
  json["policies"] = Json::array();
  for (const PolicyFigures& policy : result.policies) {
    json["policies"].push_back(policy_json(policy, result.policies.front(), bounds));
  }
  json["bounds"] = bounds_json(bounds);
  return json.dump(2) + "\n";
}

}  // namespace fairlead::plan
