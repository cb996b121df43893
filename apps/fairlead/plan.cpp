// SPDX-License-Identifier: Apache-2.0
// `fairlead plan`: policies tried out in virtual time, with the code that routes in production.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "commands.h"
#include "core/picker/candidate_builder.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"
#include "embedded_data.h"
#include "flag_checks.h"
#include "io/fleet/file_watch.h"
#include "io/net/steady_clock.h"
#include "lab/plan/fleet.h"
#include "lab/plan/study.h"
#include "lab/plan/study_report.h"
#include "report_text.h"
#include "workload_flags.h"

namespace fairlead::app {
namespace {

constexpr std::uint64_t kEnginesMax = 4096;
constexpr std::uint64_t kRoutersMax = 64;
constexpr std::uint64_t kSeedsMax = 1000;
constexpr std::uint64_t kThreadsMax = 256;

// What both commands take.
struct StudyFlags {
  WorkloadFlags workload;
  std::uint32_t engines = 8;
  std::uint32_t routers = 1;
  double scrape_ms = 50;
  std::string profile = "qwen3-32b-2xh100";
  std::int64_t kv_tokens = 0;  // 0: the profile's.
  std::uint32_t seeds = 5;
  std::uint32_t threads = std::max(1U, std::thread::hardware_concurrency());
  bool json = false;
};

struct RunFlags : StudyFlags {
  std::vector<std::string> policies{std::string(scheduling::kDefaultPolicy)};
  std::string html;
};

struct FleetFlags : StudyFlags {
  std::string policy{scheduling::kDefaultPolicy};
  std::string slo = "ttft_p95=1s,itl_p95=50ms";
  std::uint32_t engines_max = 1024;
};

Result<std::string> policy_text(const std::string& name_or_path) {
  const std::string_view shipped = scheduling::shipped_policy(name_or_path);
  if (!shipped.empty()) return std::string(shipped);
  auto text = fleet::FileWatch::read_file(name_or_path);
  if (!text) {
    return fail(ErrorCode::kNotFound, "{} is neither a shipped policy ({}) nor a readable file: {}",
                name_or_path, fmt::join(scheduling::shipped_policy_names(), ", "),
                text.error().message);
  }
  return text;
}

Result<plan::StudyPolicy> find_policy(const std::string& name_or_path) {
  auto text = policy_text(name_or_path);
  if (!text) return with_context(text.error(), "--policy");
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Problems problems;
  config::Section root = config::Section::parse(*text, name_or_path, problems);
  auto built = scheduling::build_policy(root, registry, {picker::filled_columns()}, problems);
  root.finish();
  if (problems.has_errors()) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
  return plan::StudyPolicy{name_or_path, std::move(built.profile), built.picker.events};
}

Result<std::vector<plan::StudyPolicy>> find_policies(const std::vector<std::string>& wanted) {
  const bool is_all = wanted.size() == 1 && wanted.front() == "all";
  std::vector<std::string> names = wanted;
  if (is_all) {
    const std::vector<std::string_view> shipped = scheduling::shipped_policy_names();
    names.assign(shipped.begin(), shipped.end());
  }
  std::vector<plan::StudyPolicy> policies;
  for (const std::string& name : names) {
    auto policy = find_policy(name);
    if (!policy) return tl::unexpected(policy.error());
    policies.push_back(std::move(*policy));
  }
  return policies;
}

Result<plan::StudySettings> settings_of(const StudyFlags& flags) {
  plan::StudySettings settings;
  auto engine = find_engine_profile(flags.profile);
  if (!engine) return with_context(engine.error(), "--profile");
  settings.world.engine = std::move(*engine);
  if (flags.kv_tokens > 0) {
    settings.world.engine.kv_tokens = flags.kv_tokens;
    // A request that is longer than the memory could never run.
    const std::int64_t block = settings.world.engine.block_size;
    settings.world.engine.max_model_len =
        std::min(settings.world.engine.max_model_len, flags.kv_tokens / block * block);
  }
  if (auto good = engine::validate(settings.world.engine); !good) {
    return with_context(good.error(), "--kv-tokens");
  }
  settings.world.engines = flags.engines;
  settings.world.routers = flags.routers;
  settings.world.scrape_interval = from_seconds(flags.scrape_ms / 1000);
  settings.first_seed = flags.workload.seed;
  settings.seeds = flags.seeds;
  settings.threads = flags.threads;
  settings.cpu_clock = net::thread_cpu_seconds;
  return settings;
}

void print_progress(std::size_t done, std::size_t all) {
  if (::isatty(STDERR_FILENO) == 0) return;
  std::fprintf(stderr, "\r\033[K%s",
               done == all ? "" : fmt::format("{} of {} runs", done, all).c_str());
  std::fflush(stderr);
}

load::ReportText describe_study(const RunFlags& flags, const CLI::App& command,
                                const plan::StudyResult& result) {
  load::ReportText text;
  text.title = "fairlead plan";
  text.subtitle = fmt::format("{} on {} engines, the first of {} seeds", result.workload,
                              flags.engines, flags.seeds);
  text.row = "Policy";
  text.command = "plan " + command_text(command, {"--json", "--html"});
  text.method = describe(flags.workload);
  text.method.emplace_back("Engines", fmt::format("{} of {}", flags.engines, flags.profile));
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
  const auto policies = find_policies(flags.policies);
  if (!policies) return complain(policies.error().message, 2);
  const auto settings = settings_of(flags);
  if (!settings) return complain(settings.error().message, 2);
  const auto html = ReportFile::open(flags.html);
  if (!html) return complain("--html: " + html.error().message, 2);
  const auto planner = make_planner(flags.workload);
  if (!planner) return complain(planner.error().message, 2);
  auto result = plan::run_study(*planner, *policies, *settings, print_progress);
  if (!result) return complain(result.error().message, 2);
  const std::string said =
      flags.json ? plan::study_json(*result, *settings) : plan::study_table(*result);
  std::fputs(said.c_str(), stdout);
  if (!*html) return 0;
  const load::ReportText text = describe_study(flags, command, *result);
  if (auto done = (*html)->write(html_of(text, std::move(*result))); !done) {
    return complain(done.error().message, 1);
  }
  std::fprintf(stderr, "report: %s\n", flags.html.c_str());
  return 0;
}

int run_fleet(const FleetFlags& flags) {
  const auto limits = plan::parse_limits(flags.slo);
  if (!limits) return complain("--slo " + limits.error().message, 2);
  const auto policy = find_policy(flags.policy);
  if (!policy) return complain(policy.error().message, 2);
  auto study = settings_of(flags);
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
  command.add_option("--profile", flags.profile, "Engine profile: a shipped name or a file")
      ->capture_default_str();
  command
      .add_option("--kv-tokens", flags.kv_tokens, "KV cache of an engine; default: the profile's")
      ->check(whole_number(1, 1'000'000'000));
  command
      .add_option("--routers", flags.routers,
                  "Replicas of the router, each with its own part of the requests")
      ->check(whole_number(1, kRoutersMax))
      ->capture_default_str();
  command
      .add_option("--scrape-ms", flags.scrape_ms, "Milliseconds between readings of load figures")
      ->check(above_zero())
      ->capture_default_str();
  command.add_option("--seeds", flags.seeds, "Runs of each policy, each with a seed of its own")
      ->check(whole_number(1, kSeedsMax))
      ->capture_default_str();
  command.add_option("--threads", flags.threads, "Runs side by side; figures do not depend on it")
      ->check(whole_number(1, kThreadsMax))
      ->capture_default_str();
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
  command->add_option("-n,--engines", flags->engines, "Engines of the fleet")
      ->check(whole_number(1, kEnginesMax))
      ->capture_default_str();
  command->add_option("--html", flags->html, "Write the first seed's runs as one HTML file");
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
  auto flags = std::make_shared<FleetFlags>();
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
  return [command, run, fleet] { return command->got_subcommand("run") ? run() : fleet(); };
}

}  // namespace fairlead::app
