// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cinttypes>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "flag_checks.h"
#include "lab/load/load_run.h"
#include "report_text.h"
#include "signals.h"
#include "workload_flags.h"

namespace fairlead::app {
namespace {

struct LoadFlags {
  std::string target = "http://127.0.0.1:8080";
  std::string api = "chat";
  std::vector<std::string> slo;
  std::string json;
  std::string html;
  WorkloadFlags workload;
  load::LoadSettings settings;
};

Result<load::SloLimits> parse_slo(const std::vector<std::string>& entries) {
  load::SloLimits limits;
  for (const std::string& entry : entries) {
    const std::size_t equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    std::optional<double>* limit = name == "ttft"      ? &limits.ttft
                                   : name == "tpot"    ? &limits.tpot
                                   : name == "itl"     ? &limits.itl
                                   : name == "ntpot"   ? &limits.ntpot
                                   : name == "latency" ? &limits.request_latency
                                                       : nullptr;
    double seconds = 0;
    if (limit == nullptr || equals == std::string::npos ||
        !CLI::detail::lexical_cast(entry.substr(equals + 1), seconds) || seconds <= 0) {
      return fail(ErrorCode::kInvalidArgument,
                  "--slo {}: write ttft, tpot, itl, ntpot or latency, =, and seconds, as in "
                  "ttft=1.5",
                  entry);
    }
    *limit = seconds;
  }
  return limits;
}

void print_progress(const load::LoadProgress& progress) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  std::fprintf(stderr, "%s%s%s", terminal ? "\r\033[K" : "", load::progress_line(progress).c_str(),
               terminal ? "" : "\n");
  std::fflush(stderr);
}

struct Reports {
  std::unique_ptr<ReportFile> json;  // Null: not asked for, as the other.
  std::unique_ptr<ReportFile> html;
};

Result<Reports> open_reports(const LoadFlags& flags) {
  auto json = ReportFile::open(flags.json);
  if (!json) return with_context(json.error(), "--json");
  auto html = ReportFile::open(flags.html);
  if (!html) return with_context(html.error(), "--html");
  return Reports{std::move(*json), std::move(*html)};
}

load::ReportText describe_run(const LoadFlags& flags, const CLI::App& command,
                              const load::LoadResult& result) {
  load::ReportText text;
  text.title = "fairlead load";
  text.subtitle = fmt::format("{} requests to {}", result.records.requests.size(), flags.target);
  text.command = command_text(command, {"--json", "--html", "--seed"}) +
                 fmt::format(" --seed {}", flags.workload.seed);
  text.method = describe(flags.workload);
  text.method.emplace_back("Target", fmt::format("{}, {} API", flags.target, flags.api));
  text.method.emplace_back("Speed", fmt::format("{:g}", flags.settings.speed));
  if (!flags.slo.empty()) {
    text.method.emplace_back("Limits", fmt::format("{}, in seconds", fmt::join(flags.slo, ", ")));
  }
  describe_machine(text);
  return text;
}

Result<void> write_reports(const Reports& reports, const load::ReportText& text,
                           load::LoadResult result) {
  const load::ReportRun runs[] = {{"run", std::move(result.records), std::move(result.summary)}};
  if (reports.json) {
    if (auto done = reports.json->write(load::summary_json(text, runs)); !done) return done;
  }
  if (!reports.html) return {};
  if (auto done = reports.html->write(load::html_report(text, runs)); !done) return done;
  std::fprintf(stderr, "report: %s\n", reports.html->path().c_str());
  return {};
}

// What is wrong with a run besides its figures, the gravest first.
std::optional<std::string> complaint(const load::LoadResult& result) {
  const load::Section& all = result.summary.overall;
  if (result.interrupted) return "interrupted: the figures cover what had ended";
  if (all.succeeded == 0) {
    return "no request was answered; most failed with " +
           (all.failures.empty() ? "nothing" : all.failures.front().first);
  }
  return result.spoilt;
}

int run(LoadFlags& flags, const CLI::App& command) {
  auto target = load::parse_target(flags.target);
  if (!target) return complain(target.error().message, 2);
  flags.settings.target = std::move(*target);
  flags.settings.api = flags.api == "chat" ? load::Api::kChat : load::Api::kCompletions;
  auto limits = parse_slo(flags.slo);
  if (!limits) return complain(limits.error().message, 2);
  flags.settings.limits = *limits;
  const auto workload = plan(flags.workload);
  if (!workload) return complain(workload.error().message, 2);
  const auto reports = open_reports(flags);
  if (!reports) return complain(reports.error().message, 2);
  auto loop = net::EventLoop::create();
  if (!loop) return complain(loop.error().message, 1);
  const SignalThread signals([&] { (*loop)->stop(); });
  std::fprintf(stderr, "seed %" PRIu64 "\n", flags.workload.seed);
  auto result = load::run_load(**loop, *workload, flags.settings, print_progress);
  std::fprintf(stderr, "\n");
  if (!result) return complain(result.error().message, 1);
  std::printf("%s", load::run_table(result->summary).c_str());
  const auto wrong = complaint(*result);
  const load::ReportText text = describe_run(flags, command, *result);
  if (auto done = write_reports(*reports, text, std::move(*result)); !done) {
    return complain(done.error().message, 1);
  }
  return wrong ? complain(*wrong, 1) : 0;
}

}  // namespace

Command add_load(CLI::App& parent) {
  CLI::App* command = parent.add_subcommand(
      "load", "Load generator and trace replayer for OpenAI-compatible servers, with reports");
  auto flags = std::make_shared<LoadFlags>();
  command->add_option("-t,--target", flags->target, "Server to put under load")
      ->capture_default_str();
  command->add_option("--api", flags->api, "chat or completions")
      ->check(CLI::IsMember({"chat", "completions"}))
      ->capture_default_str();
  command->add_option("--model", flags->settings.model, "Default: the first the server lists");
  command->add_option("--api-key", flags->settings.api_key, "Bearer key")
      ->envname("FAIRLEAD_API_KEY");
  command
      ->add_option("--speed", flags->settings.speed,
                   "Of simulated engines: reports are in their model time")
      ->check(from_to(0.001, 1e6))
      ->capture_default_str();
  command
      ->add_option("--connections", flags->settings.connections_max, "Requests in flight at most")
      ->check(whole_number(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--slo", flags->slo, "Goodput limit in seconds, as ttft=1.5; repeatable");
  command->add_option("--json", flags->json, "Write the summary as JSON");
  command->add_option("--html", flags->html, "Write the report as one HTML file");
  declare(*command, flags->workload);
  command->footer(
      "Examples:\n"
      "  fairlead load --rate 5,10,20 --stage-seconds 30 --shared-prefix --html report.html\n"
      "  fairlead load --trace mooncake_conversation --compression 2 --to 600 --slo ttft=2\n"
      "  fairlead load --workload chat --slo ttft=2\n"
      "  fairlead load --concurrency 64 --requests 10000 --prompt-tokens 200");
  return [flags, command] { return run(*flags, *command); };
}

}  // namespace fairlead::app
