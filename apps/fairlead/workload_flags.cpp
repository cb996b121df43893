// SPDX-License-Identifier: Apache-2.0
#include "workload_flags.h"

#include <CLI/CLI.hpp>

#include "embedded_data.h"
#include "lab/load/model/synthetic.h"
#include "lab/load/model/trace.h"

namespace fairlead::app {
namespace {

Result<load::Workload> plan_trace(const WorkloadFlags& flags) {
  const auto trace = find_trace(flags.trace);
  if (!trace) return with_context(trace.error(), "--trace");
  load::ReplaySettings settings;
  settings.from = from_seconds(flags.from_s);
  if (flags.to_s > 0) settings.to = from_seconds(flags.to_s);
  if (flags.limit > 0) settings.limit = flags.limit;
  settings.compression = flags.compression;
  settings.seed = flags.seed;
  return load::plan_replay(*trace, settings);
}

Result<load::Workload> plan_synthetic(const WorkloadFlags& flags) {
  load::SyntheticSettings settings;
  settings.seed = flags.seed;
  if (flags.shared_prefix) {
    settings.name = "shared prefixes";
    settings.prompts = load::SharedPrefixPrompts{.groups = flags.groups,
                                                 .prompts_per_group = flags.prompts_per_group,
                                                 .system_tokens = flags.system_tokens,
                                                 .question_tokens = flags.question_tokens,
                                                 .output_tokens = flags.output_tokens};
  } else {
    settings.name = "unique prompts";
    settings.prompts = load::UniquePrompts{.prompt_tokens = flags.prompt_tokens,
                                           .output_tokens = flags.output_tokens};
  }
  if (flags.concurrency > 0) {
    settings.loop = load::ClosedLoop{
        .concurrency = flags.concurrency, .requests = flags.requests, .length = {}};
    return load::plan_synthetic(settings);
  }
  load::OpenLoop open;
  open.arrivals =
      flags.arrivals == "constant" ? load::Arrivals::kConstant : load::Arrivals::kPoisson;
  open.pause = from_seconds(flags.pause_s);
  const std::vector<double> rates = flags.rates.empty() ? std::vector<double>{1} : flags.rates;
  for (const double rate : rates) {
    open.stages.push_back({rate, from_seconds(flags.stage_s), load::StageKind::kMeasured});
  }
  settings.loop = std::move(open);
  return load::plan_synthetic(settings);
}

}  // namespace

void declare(CLI::App& command, WorkloadFlags& flags) {
  CLI::Option* trace = command.add_option(
      "--trace", flags.trace,
      "Replay mooncake_conversation, azure_llm_2023_code or a file in one of their formats");
  command.add_option("--compression", flags.compression, "Trace time over replay time")
      ->needs(trace)
      ->check(CLI::PositiveNumber);
  command.add_option("--from", flags.from_s, "First second of the trace")->needs(trace);
  command.add_option("--to", flags.to_s, "Second of the trace to stop before")->needs(trace);
  command.add_option("--limit", flags.limit, "At most so many requests of the trace")->needs(trace);
  command.add_option("--preset", flags.preset, "b2b: the published shared-prefix ladder")
      ->check(CLI::IsMember({"b2b"}))
      ->excludes(trace);
  command
      .add_flag("--shared-prefix", flags.shared_prefix,
                "Prompts in groups that share a system prompt")
      ->excludes(trace);
  command.add_option("--groups", flags.groups, "Groups")->capture_default_str();
  command.add_option("--prompts-per-group", flags.prompts_per_group, "Questions a group")
      ->capture_default_str();
  command.add_option("--system-tokens", flags.system_tokens, "Tokens of a group's system prompt")
      ->capture_default_str();
  command.add_option("--question-tokens", flags.question_tokens, "Tokens of a question")
      ->capture_default_str();
  command.add_option("--prompt-tokens", flags.prompt_tokens, "Tokens of a unique prompt")
      ->capture_default_str();
  command.add_option("--output-tokens", flags.output_tokens, "Tokens of an answer")
      ->capture_default_str();
  command.add_option("--rate", flags.rates, "Requests a second; several make a ladder")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  command.add_option("--stage-seconds", flags.stage_s, "Length of a stage of the ladder")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--pause-seconds", flags.pause_s, "Pause after a stage has drained")
      ->capture_default_str();
  command.add_option("--arrivals", flags.arrivals, "poisson or constant")
      ->check(CLI::IsMember({"poisson", "constant"}))
      ->capture_default_str();
  command.add_option("--concurrency", flags.concurrency, "Closed loop: requests kept in flight")
      ->excludes(trace);
  command.add_option("--requests", flags.requests, "Closed loop: how many in all")
      ->capture_default_str();
  command.add_option("--seed", flags.seed, "Of arrivals and prompts")->capture_default_str();
}

Result<load::Workload> plan(const WorkloadFlags& flags) {
  if (!flags.trace.empty()) return plan_trace(flags);
  if (flags.preset == "b2b") return load::plan_synthetic(load::b2b_settings(flags.seed));
  return plan_synthetic(flags);
}

}  // namespace fairlead::app
