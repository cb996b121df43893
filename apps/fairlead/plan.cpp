// SPDX-License-Identifier: Apache-2.0
// `fairlead plan`: policies tried out in virtual time, with the code that routes in production.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "core/scheduling/policy_config.h"
#include "flag_checks.h"
#include "lab/plan/fleet.h"
#include "lab/plan/study.h"
#include "lab/plan/study_report.h"
#include "plan_flags.h"
#include "plan_sweep.h"
#include "report_text.h"
#include "workload_flags.h"

namespace fairlead::app {
namespace {

// What the commands over one workload take.
struct StudyFlags : FleetFlags {
  WorkloadFlags workload;
  bool json = false;
};

struct RunFlags : StudyFlags {
  std::vector<std::string> policies{std::string(scheduling::kDefaultPolicy)};
  std::string html;
};

struct SizeFlags : StudyFlags {
  std::string policy{scheduling::kDefaultPolicy};
  std::string slo = "ttft_p95=1s,itl_p95=50ms";
  std::uint32_t engines_max = 1024;
};

std::vector<std::string> wanted_policies(const RunFlags& flags) {
  if (flags.policies.size() != 1 || flags.policies.front() != "all") return flags.policies;
  const std::vector<std::string_view> shipped = scheduling::shipped_policy_names();
  return {shipped.begin(), shipped.end()};
}

load::ReportText describe_study(const RunFlags& flags, const CLI::App& command,
                                const plan::StudySettings& settings,
                                const plan::StudyResult& result) {
  load::ReportText text;
  text.title = "fairlead plan";
  text.subtitle = fmt::format(
      "{} on {} engines, {}", result.workload, flags.engines,
      flags.seeds == 1 ? "one seed" : fmt::format("the first of {} seeds", flags.seeds));
  text.row = "Policy";
  text.command = command_text(command, {"--json", "--html"});
  text.method = describe(flags.workload);
  text.method.emplace_back("Engines",
                           fmt::format("{} of {}, each with {} tokens of KV memory", flags.engines,
                                       flags.profile, settings.world.engine.kv_tokens));
  text.method.emplace_back("What no routing can beat", plan::bounds_text(result.bounds.front()));
  text.method.emplace_back("Time", "virtual; the routing code is that of production");
  describe_machine(text);
  return text;
}

std::string html_of(const load::ReportText& text, plan::StudyResult result) {
  std::vector<load::ReportRun> runs;
  for (plan::PolicyFigures& policy : result.policies) {
    runs.push_back({policy.policy, std::move(policy.records), std::move(policy.summary)});
  }
  return load::html_report(text, runs);
}

int run_policies(const RunFlags& flags, const CLI::App& command) {
  const auto policies = find_policies(wanted_policies(flags), "--policy");
  if (!policies) return complain(policies.error().message, 2);
  const auto settings = settings_of(flags, flags.workload.seed);
  if (!settings) return complain(settings.error().message, 2);
  const auto html = ReportFile::open(flags.html);
  if (!html) return complain("--html: " + html.error().message, 2);
  const auto planner = make_planner(flags.workload);
  if (!planner) return complain(planner.error().message, 2);
  auto result = plan::run_study(*planner, *policies, *settings, print_progress);
  if (!result) return complain(result.error().message, 2);
  if (const std::string none = plan::nothing_answered(*result, *settings); !none.empty()) {
    return complain(none, 2);
  }
  const std::string said =
      flags.json ? plan::study_json(*result, *settings) : plan::study_table(*result);
  std::fputs(said.c_str(), stdout);
  if (!*html) return 0;
  const load::ReportText text = describe_study(flags, command, *settings, *result);
  if (auto done = (*html)->write(html_of(text, std::move(*result))); !done) {
    return complain(done.error().message, 1);
  }
  std::fprintf(stderr, "report: %s\n", flags.html.c_str());
  return 0;
}

int run_fleet(const SizeFlags& flags) {
  const auto limits = plan::parse_limits(flags.slo);
  if (!limits) return complain("--slo " + limits.error().message, 2);
  const auto policy = find_policy(flags.policy, "--policy");
  if (!policy) {
    const bool several = flags.policy.find(',') != std::string::npos;
    return complain(several ? "--policy takes one policy here" : policy.error().message, 2);
  }
  auto study = settings_of(flags, flags.workload.seed);
  if (!study) return complain(study.error().message, 2);
  const auto planner = make_planner(flags.workload);
  if (!planner) return complain(planner.error().message, 2);
  plan::FleetSettings settings;
  settings.study = std::move(*study);
  settings.engines_max = flags.engines_max;
  const auto told = [](const plan::FleetPoint& point) {
    std::fprintf(stderr, "%u engines: %s\n", point.engines, point.is_enough ? "enough" : "too few");
  };
  const auto plan = plan::plan_fleet(*planner, *policy, *limits, settings, told);
  if (!plan) return complain(plan.error().message, 2);
  const std::string said =
      flags.json ? plan::fleet_json(*plan, *limits) : plan::fleet_table(*plan, *limits);
  std::fputs(said.c_str(), stdout);
  return plan->engines ? 0 : 1;
}

void declare_study(CLI::App& command, StudyFlags& flags) {
  declare(command, flags);
  command.add_flag("--json", flags.json, "Print JSON instead of a table");
  declare(command, flags.workload);
  flags.workload.seed = 1;
  command.get_option("--seed")->description("Of the first runs; the others count on from it");
}

Command add_run(CLI::App& parent) {
  CLI::App* command = parent.add_subcommand(
      "run", "Policies over one workload and fleet, several seeds each, beside what is attainable");
  auto flags = std::make_shared<RunFlags>();
  command
      ->add_option("-p,--policy", flags->policies,
                   "Shipped names or files of EndpointPickerConfig; several, or all, to compare")
      ->delimiter(',')
      ->capture_default_str();
  declare_engines(*command, *flags);
  command->add_option("--html", flags->html, "Write the first seed's runs as one HTML file")
      ->check(not_empty());
  declare_study(*command, *flags);
  command->footer(
      "Examples:\n"
      "  fairlead plan run --trace mooncake_conversation --speedup 2 --policy fairlead,sticky\n"
      "  fairlead plan run --preset b2b --policy all --seeds 5 --html plan.html\n"
      "  fairlead plan run --trace my.jsonl --format mooncake --engines 4 --kv-tokens 600000 "
      "--json");
  return [flags, command] { return run_policies(*flags, *command); };
}

Command add_fleet(CLI::App& parent) {
  CLI::App* command = parent.add_subcommand(
      "fleet", "How many engines a workload needs to keep its latencies within limits");
  auto flags = std::make_shared<SizeFlags>();
  command
      ->add_option("-p,--policy", flags->policy, "A shipped name or a file of EndpointPickerConfig")
      ->capture_default_str();
  command
      ->add_option("--slo", flags->slo,
                   "Limits: ttft, itl, tpot or latency, _mean, _p50, _p90, _p95 or _p99")
      ->capture_default_str();
  command->add_option("--engines-max", flags->engines_max, "Not more are tried")
      ->check(whole_number(1, kEnginesMax))
      ->capture_default_str();
  declare_study(*command, *flags);
  command->footer(
      "Exit status: 0 when a size was found, 1 when not even --engines-max are enough.\n"
      "Examples:\n"
      "  fairlead plan fleet --trace mooncake_conversation --slo ttft_p95=2s,itl_p95=80ms\n"
      "  fairlead plan fleet --shared-prefix --rate 20 --slo ttft_p99=1s --json");
  return [flags] { return run_fleet(*flags); };
}

}  // namespace

Command add_plan(CLI::App& parent) {
  CLI::App* command = parent.add_subcommand(
      "plan", "Policies tried out in virtual time: an hour of trace in about a second");
  command->require_subcommand(1);
  const Command run = add_run(*command);
  const Command fleet = add_fleet(*command);
  const Command sweep = add_plan_sweep(*command);
  return [command, run, fleet, sweep] {
    if (command->got_subcommand("sweep")) return sweep();
    return command->got_subcommand("run") ? run() : fleet();
  };
}

}  // namespace fairlead::app
