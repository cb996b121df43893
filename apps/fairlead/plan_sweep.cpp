// SPDX-License-Identifier: Apache-2.0
#include "plan_sweep.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/scheduling/policy_config.h"
#include "embedded_data.h"
#include "flag_checks.h"
#include "lab/plan/sweep.h"
#include "lab/plan/sweep_report.h"
#include "lab/plan/sweep_runner.h"
#include "plan_flags.h"
#include "report_text.h"
#include "workload_flags.h"

namespace fairlead::app {
namespace {

constexpr std::uint64_t kSamplesMax = 4096;
constexpr std::string_view kNone = "none";

struct SweepFlags : FleetFlags {
  std::string policy;
  std::vector<std::string> vary;
  std::vector<std::string> workloads;
  std::string set = "train";
  std::vector<std::string> validation;  // Empty: what is shipped for it and not searched over.
  std::uint32_t samples = 32;
  std::uint64_t seed = 1;
  std::vector<std::string> rivals{"all"};
  std::string json;
  std::string html;
};

// All that was asked for, found to be good before anything runs.
struct SweepPlan {
  plan::SweepReport report;
  std::vector<plan::StudyPolicy> contenders;
  std::vector<plan::StudyPolicy> rivals;
  std::vector<plan::Planner> planners;
  std::vector<plan::Planner> judging_planners;
};

std::vector<std::string> shipped_for(load::WorkloadUse use) {
  std::vector<std::string> names;
  for (const std::string& name : workload_names()) {
    const auto spec = find_workload(name);
    if (spec && spec->use == use) names.push_back(name);
  }
  return names;
}

std::vector<std::string> searched_names(const SweepFlags& flags) {
  if (!flags.workloads.empty()) return flags.workloads;
  return shipped_for(flags.set == "train" ? load::WorkloadUse::kTrain
                                          : load::WorkloadUse::kValidate);
}

// What was searched over says nothing new.
Result<std::vector<std::string>> judged_names(const SweepFlags& flags,
                                              const std::vector<std::string>& searched) {
  const auto is_searched = [&](const std::string& name) {
    return std::ranges::find(searched, name) != searched.end();
  };
  std::vector<std::string> names = flags.validation;
  if (names.empty()) {
    names = shipped_for(load::WorkloadUse::kValidate);
    std::erase_if(names, is_searched);
  }
  if (names.size() == 1 && names.front() == kNone) return std::vector<std::string>{};
  const auto twice = std::ranges::find_if(names, is_searched);
  if (twice == names.end()) return names;
  return fail(ErrorCode::kInvalidArgument,
              "--validation: {} is searched over, so it cannot judge what is found", *twice);
}

Result<std::vector<plan::Planner>> planners_of(const std::vector<std::string>& names,
                                               std::string_view flag) {
  std::vector<plan::Planner> planners;
  for (const std::string& name : names) {
    const auto planner = make_planner(name);
    if (!planner) return with_context(planner.error(), flag);
    planners.push_back([name, planner = *planner](std::uint64_t seed) -> Result<load::Workload> {
      auto planned = planner(seed);
      if (!planned) return with_context(planned.error(), name);
      return planned;
    });
  }
  return planners;
}

// Those of the project itself are no rivals of what it searches for.
std::vector<std::string> rival_names(const SweepFlags& flags) {
  if (flags.rivals.size() != 1 || flags.rivals.front() != "all") return flags.rivals;
  std::vector<std::string> names;
  const auto add = [&](const std::vector<std::string_view>& shipped) {
    for (const std::string_view name : shipped) {
      if (!name.starts_with(scheduling::kDefaultPolicy)) names.emplace_back(name);
    }
  };
  add(scheduling::shipped_policy_names());
  add(scheduling::peer_policy_names());
  return names;
}

Result<void> find_contenders(const SweepFlags& flags, SweepPlan& plan) {
  auto text = policy_text(flags.policy, "--policy");
  if (!text) return tl::unexpected(text.error());
  const auto policy = plan::PolicyTemplate::parse(*text, flags.policy);
  if (!policy) return tl::unexpected(policy.error());
  std::vector<plan::Variation> variations;
  for (const std::string& vary : flags.vary) {
    auto variation = plan::parse_variation(vary);
    if (!variation) return with_context(variation.error(), "--vary");
    variations.push_back(std::move(*variation));
  }
  auto contenders = plan::choose_contenders(*policy, variations, flags.samples, flags.seed);
  if (!contenders) return with_context(contenders.error(), "--vary");
  for (const plan::Parameters& parameters : contenders->list) {
    const auto filled = policy->fill(parameters);
    if (!filled) return tl::unexpected(filled.error());
    auto contender = parse_policy(*filled, flags.policy);
    if (!contender) return with_context(contender.error(), plan::name_of(parameters));
    plan.contenders.push_back(std::move(*contender));
  }
  plan.report.policy = flags.policy;
  plan.report.variations = flags.vary;
  plan.report.template_text = std::move(*text);
  plan.report.contenders = std::move(*contenders);
  return {};
}

Result<void> find_workloads(const SweepFlags& flags, SweepPlan& plan) {
  plan::SweepReport& report = plan.report;
  report.workloads = searched_names(flags);
  auto planners = planners_of(report.workloads, "--workload");
  if (!planners) return tl::unexpected(planners.error());
  plan.planners = std::move(*planners);
  auto judged = judged_names(flags, report.workloads);
  if (!judged) return tl::unexpected(judged.error());
  report.judged_on = std::move(*judged);
  auto judging = planners_of(report.judged_on, "--validation");
  if (!judging) return tl::unexpected(judging.error());
  plan.judging_planners = std::move(*judging);
  return {};
}

Result<SweepPlan> make_plan(const SweepFlags& flags) {
  SweepPlan plan;
  if (auto done = find_contenders(flags, plan); !done) return tl::unexpected(done.error());
  if (auto done = find_workloads(flags, plan); !done) return tl::unexpected(done.error());
  plan.report.rivals = rival_names(flags);
  auto rivals = find_policies(plan.report.rivals, "--rivals");
  if (!rivals) return tl::unexpected(rivals.error());
  plan.rivals = std::move(*rivals);
  auto study = settings_of(flags, flags.seed);
  if (!study) return tl::unexpected(study.error());
  plan.report.study = std::move(*study);
  plan.report.settings = {plan.report.contenders.search, flags.seeds, flags.seed,
                          plan.report.contenders.defaults};
  return plan;
}

void tell_rung(std::size_t at, std::span<const plan::Rung> rungs) {
  std::fprintf(stderr, "rung %zu of %zu: contenders %zu, seeds so far %u\n", at + 1, rungs.size(),
               rungs[at].contenders, rungs[at].seeds);
}

Result<void> search(SweepPlan& plan) {
  plan::SweepReport& report = plan.report;
  const auto runner = plan::runner_over(plan.planners, report.study, print_progress);
  auto result = plan::run_sweep(plan.contenders, plan.rivals, report.settings, runner, tell_rung);
  if (!result) return tl::unexpected(result.error());
  report.result = std::move(*result);
  if (report.judged_on.empty()) return {};
  std::vector<plan::StudyPolicy> chosen;
  for (const std::size_t at : report.result.shown) chosen.push_back(plan.contenders[at]);
  std::fprintf(stderr, "validation: contenders %zu\n", chosen.size());
  const auto judging = plan::runner_over(plan.judging_planners, report.study, print_progress);
  auto judgement = plan::judge(chosen, plan.rivals, report.settings, judging);
  if (!judgement) return tl::unexpected(judgement.error());
  report.judgement = std::move(*judgement);
  return {};
}

load::ReportText describe_sweep(const SweepFlags& flags, const CLI::App& command,
                                const plan::SweepReport& report) {
  load::ReportText text;
  text.title = "fairlead plan sweep";
  text.subtitle = fmt::format("{} contenders of {} on {} engines", report.contenders.list.size(),
                              flags.policy, flags.engines);
  text.command = command_text(command, {"--json", "--html", "--threads"});
  text.method.emplace_back("Workloads", fmt::format("{}", fmt::join(report.workloads, ", ")));
  text.method.emplace_back("Rivals", fmt::format("{}", fmt::join(report.rivals, ", ")));
  text.method.emplace_back("Seeds", fmt::format("{} from {}", flags.seeds, flags.seed));
  text.method.emplace_back("Engines", fmt::format("{} of {}", flags.engines, flags.profile));
  text.method.emplace_back("Time", "virtual; the routing code is that of production");
  describe_machine(text);
  return text;
}

int run_sweep_command(const SweepFlags& flags, const CLI::App& command) {
  auto plan = make_plan(flags);
  if (!plan) return complain(plan.error().message, 2);
  const auto json = ReportFile::open(flags.json);
  if (!json) return complain("--json: " + json.error().message, 2);
  const auto html = ReportFile::open(flags.html);
  if (!html) return complain("--html: " + html.error().message, 2);
  if (auto done = search(*plan); !done) return complain(done.error().message, 2);
  const plan::SweepReport& report = plan->report;
  std::fputs(plan::sweep_table(report).c_str(), stdout);
  if (*json) {
    if (auto done = (*json)->write(plan::sweep_json(report)); !done) {
      return complain(done.error().message, 1);
    }
    std::fprintf(stderr, "log: %s\n", flags.json.c_str());
  }
  if (*html) {
    const load::ReportText text = describe_sweep(flags, command, report);
    if (auto done = (*html)->write(plan::sweep_html(text, report)); !done) {
      return complain(done.error().message, 1);
    }
    std::fprintf(stderr, "report: %s\n", flags.html.c_str());
  }
  return 0;
}

void declare_search(CLI::App& command, SweepFlags& flags) {
  command
      .add_option("-p,--policy", flags.policy,
                  "File of EndpointPickerConfig with holes, ${name} or ${name:default}")
      ->required();
  command
      .add_option("--vary", flags.vary,
                  "What fills a hole: NAME=1,2,3, NAME=0.1..10 or NAME=0.1..10:log; once a hole")
      ->required()
      ->allow_extra_args(false);
  command
      .add_option("--samples", flags.samples,
                  "At most so many contenders: all combinations, or else samples of them")
      ->check(whole_number(1, kSamplesMax))
      ->capture_default_str();
  command
      .add_option("--rivals", flags.rivals,
                  "Policies to be better than; all: every shipped one but fairlead's own")
      ->delimiter(',')
      ->capture_default_str();
  CLI::Option* workload =
      command
          .add_option("--workload", flags.workloads,
                      fmt::format("{} or YAML files (docs/workloads.md), parted by commas",
                                  fmt::join(workload_names(), ", ")))
          ->delimiter(',');
  command.add_option("--set", flags.set, "Shipped workloads to search over, by their use")
      ->check(CLI::IsMember({"train", "validate"}))
      ->excludes(workload)
      ->capture_default_str();
  command
      .add_option("--validation", flags.validation,
                  "Workloads that judge what is chosen; default: those shipped for it, without "
                  "those searched over; none")
      ->delimiter(',');
}

}  // namespace

Command add_plan_sweep(CLI::App& plan) {
  CLI::App* command = plan.add_subcommand(
      "sweep", "The best parameters of a policy, over several workloads, against rivals");
  auto flags = std::make_shared<SweepFlags>();
  declare_search(*command, *flags);
  declare_engines(*command, *flags);
  declare(*command, *flags);
  command
      ->add_option("--seed", flags->seed,
                   "Of the first runs, which the others count on from, and of the samples")
      ->check(whole_number(0, std::numeric_limits<std::uint64_t>::max() - 1))
      ->capture_default_str();
  command->add_option("--json", flags->json, "Write every contender tried, with its figures");
  command->add_option("--html", flags->html, "Write the front and the best as one HTML file")
      ->check(not_empty());
  command->footer(
      "Examples:\n"
      "  fairlead plan sweep --policy mine.yaml --vary waiting=1,2,4 --vary reuse=0..4 "
      "--samples 24\n"
      "  fairlead plan sweep --policy mine.yaml --vary waiting=0.5..8:log --workload chat,agentic "
      "--rivals blend,sticky --json sweep.json --html sweep.html");
  return [flags, command] { return run_sweep_command(*flags, *command); };
}

}  // namespace fairlead::app
