// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <nlohmann/json.hpp>

#include "lab/load/model/report.h"

namespace fairlead::load {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, kPercentiles.size()> kPercentileKeys = {
    "p0.1", "p1", "p5", "p10", "p25", "median", "p75", "p90", "p95", "p99", "p99.9"};

Json to_json(const Distribution& values) {
  Json json;
  if (values.count == 0) return json;  // Null: nothing was measured.
  json["mean"] = values.mean;
  json["min"] = values.min;
  json["max"] = values.max;
  for (std::size_t i = 0; i < kPercentiles.size(); ++i) {
    json[kPercentileKeys[i]] = values.percentiles[i];
  }
  return json;
}

Json load_of(const Section& section) {
  Json json;
  json["count"] = section.sent;
  json["schedule_delay"] = to_json(section.schedule_delay);
  json["send_duration"] = section.send_s;
  json["requested_rate"] = section.requested_rate;
  json["achieved_rate"] = section.achieved_rate;
  if (section.concurrency > 0) json["concurrency"] = section.concurrency;
  return json;
}

Json successes_of(const Section& section) {
  Json json;
  json["count"] = section.succeeded;
  json["latency"] = {{"request_latency", to_json(section.request_latency)},
                     {"normalized_time_per_output_token", to_json(section.ntpot)},
                     {"time_per_output_token", to_json(section.tpot)},
                     {"time_to_first_token", to_json(section.ttft)},
                     {"inter_token_latency", to_json(section.itl)},
                     {"token_interval", to_json(section.token_interval)}};
  json["throughput"] = {
      {"input_tokens_per_sec", section.input_tokens_per_s},
      {"output_tokens_per_sec", section.output_tokens_per_s},
      {"total_tokens_per_sec", section.input_tokens_per_s + section.output_tokens_per_s},
      {"requests_per_sec", section.requests_per_s}};
  json["prompt_len"] = to_json(section.prompt_tokens);
  json["output_len"] = to_json(section.output_tokens);
  json["kv_cache_hit_percent"] = section.hit_rate * 100;
  if (section.goodput) {
    Json attainment = Json::object();
    for (const auto& [limit, share] : section.goodput->attainment) attainment[limit] = share * 100;
    json["goodput"] = {{"request_goodput", section.goodput->requests_per_s},
                       {"token_goodput", section.goodput->tokens_per_s},
                       {"goodput_percentage", section.goodput->share * 100},
                       {"attainment_percentage", attainment}};
  }
  return json;
}

Json to_json(const Section& section) {
  Json failures;
  failures["count"] = section.failed;
  failures["request_latency"] = to_json(section.failed_latency);
  failures["by_label"] = Json::object();
  for (const auto& [label, count] : section.failures) failures["by_label"][label] = count;
  Json json;
  json["name"] = section.name;
  json["warm_up"] = section.kind == StageKind::kWarmUp;
  json["benchmark_time_seconds"] = section.benchmark_s;
  json["load_summary"] = load_of(section);
  json["successes"] = successes_of(section);
  json["failures"] = std::move(failures);
  return json;
}

Json to_json(const ReportRun& run) {
  Json json = to_json(run.summary.overall);
  json["name"] = run.name;
  json["speed"] = run.records.scale.speed;
  json["stage_mean_output_tokens_per_sec"] = run.summary.stage_mean_output_tokens_per_s;
  json["stages"] = Json::array();
  for (const Section& stage : run.summary.stages) json["stages"].push_back(to_json(stage));
  json["endpoints"] = Json::array();
  for (const EndpointShare& share : run.summary.endpoints) {
    json["endpoints"].push_back({{"name", share.name},
                                 {"requests", share.requests},
                                 {"prompt_tokens", share.prompt_tokens},
                                 {"cached_tokens", share.cached_tokens},
                                 {"output_tokens", share.output_tokens}});
  }
  return json;
}

Json to_json(std::span<const std::pair<std::string, std::string>> terms) {
  Json json = Json::object();
  for (const auto& [term, text] : terms) json[term] = text;
  return json;
}

}  // namespace

std::string summary_json(const ReportText& text, std::span<const ReportRun> runs) {
  Json json;
  json["title"] = text.title;
  json["subtitle"] = text.subtitle;
  json["generated"] = text.generated;
  json["command"] = text.command;
  json["time_unit"] = in_model_time(runs)
                          ? "seconds of model time; schedule_delay in seconds of wall time"
                          : "seconds";
  json["method"] = to_json(text.method);
  json["machine"] = to_json(text.machine);
  json["runs"] = Json::array();
  for (const ReportRun& run : runs) json["runs"].push_back(to_json(run));
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace fairlead::load
