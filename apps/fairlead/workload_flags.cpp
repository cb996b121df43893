// SPDX-License-Identifier: Apache-2.0
#include "workload_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <limits>
#include <memory>
#include <random>

#include "embedded_data.h"
#include "flag_checks.h"
#include "lab/load/model/synthetic.h"
#include "lab/load/model/trace.h"

namespace fairlead::app {
namespace {

Result<load::Workload> plan_trace(const WorkloadFlags& flags, const load::Trace& trace,
                                  std::uint64_t seed) {
  load::ReplaySettings settings;
  settings.from = from_seconds(flags.from_s);
  if (flags.to_s > 0) settings.to = from_seconds(flags.to_s);
  if (flags.limit > 0) settings.limit = flags.limit;
  settings.compression = flags.compression;
  settings.seed = seed;
  return load::plan_replay(trace, settings);
}

Result<load::Workload> plan_synthetic(const WorkloadFlags& flags, std::uint64_t seed) {
  load::SyntheticSettings settings;
  settings.seed = seed;
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

constexpr std::uint64_t kTokensMax = 10'000'000;
constexpr std::uint64_t kRequestsMax = 100'000'000;
constexpr double kSecondsMax = 1e9;
constexpr std::uint64_t kSeedMax = std::numeric_limits<std::uint64_t>::max();

using Others = std::vector<CLI::Option*>;

// What the option says is settled by each of the others.
CLI::Option* apart(CLI::Option* option, const Others& others) {
  for (CLI::Option* other : others) option->excludes(other);
  return option;
}

void declare_replay(CLI::App& command, WorkloadFlags& flags, CLI::Option* trace) {
  command
      .add_option("--format", flags.format,
                  "Of the trace file: mooncake, azure or auto, by its text")
      ->needs(trace)
      ->check(CLI::IsMember({"auto", "mooncake", "azure"}))
      ->capture_default_str();
  command
      .add_option("--speedup,--compression", flags.compression,
                  "Trace time over replay time: 2 sends twice as densely")
      ->needs(trace)
      ->check(from_to(0.001, 1000));
  command.add_option("--from", flags.from_s, "First second of the trace")
      ->needs(trace)
      ->check(from_to(0, kSecondsMax));
  command.add_option("--to", flags.to_s, "Second of the trace to stop before")
      ->needs(trace)
      ->check(from_to(0.001, kSecondsMax));
  command.add_option("--limit", flags.limit, "At most so many requests of the trace")
      ->needs(trace)
      ->check(whole_number(1, kRequestsMax));
}

void declare_prompts(CLI::App& command, WorkloadFlags& flags, Others settled) {
  CLI::Option* shared = apart(command.add_flag("--shared-prefix", flags.shared_prefix,
                                               "Prompts in groups that share a system prompt"),
                              settled);
  const auto of_groups = [&](const char* name, std::uint32_t& value, const char* text) {
    command.add_option(name, value, text)
        ->needs(shared)
        ->check(whole_number(1, kTokensMax))
        ->capture_default_str();
  };
  of_groups("--groups", flags.groups, "Groups");
  of_groups("--prompts-per-group", flags.prompts_per_group, "Questions a group");
  of_groups("--system-tokens", flags.system_tokens, "Tokens of a group's system prompt");
  of_groups("--question-tokens", flags.question_tokens, "Tokens of a question");
  apart(command.add_option("--output-tokens", flags.output_tokens, "Tokens of an answer"), settled)
      ->check(whole_number(1, kTokensMax))
      ->capture_default_str();
  settled.push_back(shared);
  apart(command.add_option("--prompt-tokens", flags.prompt_tokens, "Tokens of a unique prompt"),
        settled)
      ->check(whole_number(1, kTokensMax))
      ->capture_default_str();
}

void declare_arrivals(CLI::App& command, WorkloadFlags& flags, Others settled) {
  CLI::Option* concurrency = apart(command.add_option("--concurrency", flags.concurrency,
                                                      "Closed loop: requests kept in flight"),
                                   settled)
                                 ->check(whole_number(1, kRequestsMax));
  command.add_option("--requests", flags.requests, "Closed loop: how many in all")
      ->needs(concurrency)
      ->check(whole_number(1, kRequestsMax))
      ->capture_default_str();
  settled.push_back(concurrency);
  apart(command.add_option("--rate", flags.rates, "Requests a second; several make a ladder"),
        settled)
      ->delimiter(',')
      ->check(from_to(0.001, 1e6));
  apart(command.add_option("--stage-seconds", flags.stage_s, "Length of a stage of the ladder"),
        settled)
      ->check(from_to(0.001, kSecondsMax))
      ->capture_default_str();
  apart(command.add_option("--pause-seconds", flags.pause_s, "Pause after a stage has drained"),
        settled)
      ->check(from_to(0, kSecondsMax))
      ->capture_default_str();
  apart(command.add_option("--arrivals", flags.arrivals, "poisson or constant"), settled)
      ->check(CLI::IsMember({"poisson", "constant"}))
      ->capture_default_str();
}

std::string prompts_text(const WorkloadFlags& flags) {
  if (!flags.shared_prefix) {
    return fmt::format("unique, {} tokens, answers of {}", flags.prompt_tokens,
                       flags.output_tokens);
  }
  return fmt::format("{} groups of {} with {} + {} tokens, answers of {}", flags.groups,
                     flags.prompts_per_group, flags.system_tokens, flags.question_tokens,
                     flags.output_tokens);
}

std::string arrivals_text(const WorkloadFlags& flags) {
  if (flags.concurrency > 0) {
    return fmt::format("closed loop, {} in flight, {} requests", flags.concurrency, flags.requests);
  }
  const std::string rates =
      flags.rates.empty() ? "1" : fmt::format("{}", fmt::join(flags.rates, ", "));
  return fmt::format("{}, {} requests/s, {} s a stage, {} s of pause", flags.arrivals, rates,
                     flags.stage_s, flags.pause_s);
}

std::string stretch_text(const WorkloadFlags& flags) {
  std::string text = fmt::format("{} from {} s", flags.trace, flags.from_s);
  if (flags.to_s > 0) text += fmt::format(" to {} s", flags.to_s);
  if (flags.limit > 0) text += fmt::format(", at most {} requests", flags.limit);
  return text + fmt::format(", {} times compressed", flags.compression);
}

}  // namespace

void declare(CLI::App& command, WorkloadFlags& flags) {
  flags.seed = std::random_device{}();
  CLI::Option* workload = command.add_option(
      "--workload", flags.workload,
      fmt::format("{} or a YAML file (docs/workloads.md)", fmt::join(workload_names(), ", ")));
  workload->check(not_empty());
  CLI::Option* trace = command.add_option(
      "--trace", flags.trace,
      fmt::format("Replay {} or a file in one of their formats", fmt::join(trace_names(), ", ")));
  trace->excludes(workload)->check(not_empty());
  declare_replay(command, flags, trace);
  CLI::Option* preset =
      command.add_option("--preset", flags.preset, "b2b: the published shared-prefix ladder")
          ->check(CLI::IsMember({"b2b"}))
          ->excludes(trace)
          ->excludes(workload);
  declare_prompts(command, flags, {workload, trace, preset});
  declare_arrivals(command, flags, {workload, trace, preset});
  const CLI::Option* seed =
      command
          .add_option("--seed", flags.seed,
                      "Of arrivals and prompts; default: the workload's, or drawn and printed")
          ->check(whole_number(0, kSeedMax));
  command.parse_complete_callback([&flags, seed] {
    if (flags.workload.empty() || seed->count() > 0) return;
    // A workload that cannot be read is complained of when it is planned.
    if (const auto spec = find_workload(flags.workload)) flags.seed = spec->seed;
  });
}

Result<Planner> make_planner(const std::string& name_or_path) {
  auto found = find_workload(name_or_path);
  if (!found) return tl::unexpected(found.error());
  const auto spec = std::make_shared<const load::WorkloadSpec>(std::move(*found));
  return [spec](std::uint64_t seed) { return plan(*spec, seed); };
}

Result<Planner> make_planner(const WorkloadFlags& flags) {
  if (!flags.workload.empty()) return make_planner(flags.workload);
  if (!flags.trace.empty()) {
    auto found = find_trace(flags.trace, flags.format);
    if (!found) return with_context(found.error(), "--trace");
    const auto trace = std::make_shared<const load::Trace>(std::move(*found));
    return [flags, trace](std::uint64_t seed) { return plan_trace(flags, *trace, seed); };
  }
  if (flags.preset == "b2b") {
    return [](std::uint64_t seed) { return load::plan_synthetic(load::b2b_settings(seed)); };
  }
  return [flags](std::uint64_t seed) { return plan_synthetic(flags, seed); };
}

Result<load::Workload> plan(const WorkloadFlags& flags) {
  const auto planner = make_planner(flags);
  if (!planner) return tl::unexpected(planner.error());
  return (*planner)(flags.seed);
}

Terms describe(const WorkloadFlags& flags) {
  Terms terms;
  if (!flags.workload.empty()) {
    const auto spec = find_workload(flags.workload);
    terms.emplace_back("Workload",
                       spec ? fmt::format("{}: {}", flags.workload, spec->about) : flags.workload);
  } else if (!flags.trace.empty()) {
    terms.emplace_back("Trace", stretch_text(flags));
  } else if (!flags.preset.empty()) {
    terms.emplace_back("Preset", flags.preset);
  } else {
    terms.emplace_back("Prompts", prompts_text(flags));
    terms.emplace_back("Arrivals", arrivals_text(flags));
  }
  terms.emplace_back("Seed", fmt::format("{}", flags.seed));
  return terms;
}

}  // namespace fairlead::app
