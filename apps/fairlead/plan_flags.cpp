// SPDX-License-Identifier: Apache-2.0
#include "plan_flags.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include "core/picker/candidate_builder.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"
#include "embedded_data.h"
#include "flag_checks.h"
#include "io/fleet/file_watch.h"
#include "io/net/steady_clock.h"

namespace fairlead::app {
namespace {

constexpr std::uint64_t kRoutersMax = 64;
constexpr std::uint64_t kSeedsMax = 1000;
constexpr std::uint64_t kThreadsMax = 256;

}  // namespace

FleetFlags::FleetFlags() : threads(std::max(1U, std::thread::hardware_concurrency())) {}

void declare(CLI::App& command, FleetFlags& flags) {
  command.add_option("--profile", flags.profile, "Engine profile: a shipped name or a file")
      ->capture_default_str();
  command
      .add_option("--kv-tokens", flags.kv_tokens, "KV cache of an engine; default: the profile's")
      ->check(whole_number(1, 1'000'000'000));
  command
      .add_option("--speeds", flags.speeds,
                  "How fast the engines are, in turn and over again: 1 is the profile's speed")
      ->delimiter(',')
      ->check(from_to(0.01, 1));
  command
      .add_option("--routers", flags.routers,
                  "Replicas of the router, each with its own part of the requests")
      ->check(whole_number(1, kRoutersMax))
      ->capture_default_str();
  command
      .add_option("--exchange-ms", flags.exchange_ms,
                  "Milliseconds until the others know what one router sent where; default: never")
      ->check(from_to(0, 3'600'000));
  command
      .add_option("--scrape-ms", flags.scrape_ms, "Milliseconds between readings of load figures")
      ->check(from_to(1, 3'600'000))
      ->capture_default_str();
  command.add_option("--seeds", flags.seeds, "Runs of each policy, each with a seed of its own")
      ->check(whole_number(1, kSeedsMax))
      ->capture_default_str();
  command.add_option("--threads", flags.threads, "Runs side by side; figures do not depend on it")
      ->check(whole_number(1, kThreadsMax))
      ->capture_default_str();
}

void declare_engines(CLI::App& command, FleetFlags& flags) {
  command.add_option("-n,--engines", flags.engines, "Engines of the fleet")
      ->check(whole_number(1, kEnginesMax))
      ->capture_default_str();
}

Result<plan::StudySettings> settings_of(const FleetFlags& flags, std::uint64_t first_seed) {
  plan::StudySettings settings;
  auto engine = find_engine_profile(flags.profile);
  if (!engine) return with_context(engine.error(), "--profile");
  settings.world.engine = std::move(*engine);
  if (flags.kv_tokens > 0) {
    settings.world.engine.kv_tokens = flags.kv_tokens;
    // A request that is longer than the memory could never run.
    const std::int64_t block = settings.world.engine.block_size;
    if (flags.kv_tokens < block) {
      return fail(ErrorCode::kInvalidArgument,
                  "--kv-tokens: {} is less than one block, which has {} tokens", flags.kv_tokens,
                  block);
    }
    settings.world.engine.max_model_len =
        std::min(settings.world.engine.max_model_len, flags.kv_tokens / block * block);
  }
  if (auto good = engine::validate(settings.world.engine); !good) {
    return with_context(good.error(), "--kv-tokens");
  }
  settings.world.engines = flags.engines;
  settings.world.speeds = flags.speeds;
  settings.world.routers = flags.routers;
  if (flags.exchange_ms) settings.world.exchange_delay = from_seconds(*flags.exchange_ms / 1000);
  settings.world.scrape_interval = from_seconds(flags.scrape_ms / 1000);
  settings.first_seed = first_seed;
  settings.seeds = flags.seeds;
  settings.threads = flags.threads;
  settings.cpu_clock = net::thread_cpu_seconds;
  return settings;
}

Result<std::string> policy_text(const std::string& name_or_path, std::string_view flag) {
  const std::string_view shipped = scheduling::shipped_policy(name_or_path);
  if (!shipped.empty()) return std::string(shipped);
  auto text = fleet::FileWatch::read_file(name_or_path);
  if (!text) {
    return fail(ErrorCode::kNotFound,
                "{}: {} is neither a shipped policy ({}; other routers' are in "
                "docs/peer-policies.md) nor a readable file: {}",
                flag, name_or_path, fmt::join(scheduling::shipped_policy_names(), ", "),
                text.error().message);
  }
  return text;
}

Result<plan::StudyPolicy> parse_policy(std::string_view text, const std::string& file) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Problems problems;
  config::Section root = config::Section::parse(text, file, problems);
  auto built = scheduling::build_policy(root, registry, {picker::filled_columns()}, problems);
  root.finish();
  if (problems.has_errors()) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
  return plan::StudyPolicy{file, std::move(built.profile), built.picker.events};
}

Result<plan::StudyPolicy> find_policy(const std::string& name_or_path, std::string_view flag) {
  const auto text = policy_text(name_or_path, flag);
  if (!text) return tl::unexpected(text.error());
  if (text->find("${") != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument,
                "{}: {} has holes (${{name}}), which only `fairlead plan sweep` fills", flag,
                name_or_path);
  }
  return parse_policy(*text, name_or_path);
}

Result<std::vector<plan::StudyPolicy>> find_policies(const std::vector<std::string>& names,
                                                     std::string_view flag) {
  std::vector<plan::StudyPolicy> policies;
  for (const std::string& name : names) {
    auto policy = find_policy(name, flag);
    if (!policy) return tl::unexpected(policy.error());
    policies.push_back(std::move(*policy));
  }
  return policies;
}

void print_progress(std::size_t done, std::size_t all) {
  if (::isatty(STDERR_FILENO) == 0) return;
  std::fprintf(stderr, "\r\033[K%s",
               done == all ? "" : fmt::format("{} of {} runs", done, all).c_str());
  std::fflush(stderr);
}

}  // namespace fairlead::app
