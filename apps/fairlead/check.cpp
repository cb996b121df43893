// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "commands.h"
#include "core/scheduling/policy_config.h"
#include "io/fleet/file_watch.h"
#include "router/build.h"

namespace fairlead::app {
namespace {

struct Flags {
  std::string config;
  std::string policy;
  bool list_policies = false;
};

void print_profile(const scheduling::Profile& profile) {
  std::printf("\n# Decision: profile %s\n", profile.name.c_str());
  for (const auto& filter : profile.filters) std::printf("#   filter  %s\n", filter.name.c_str());
  for (const auto& scorer : profile.scorers) {
    std::printf("#   scorer  %-32s x %g\n", scorer.name.c_str(),
                static_cast<double>(scorer.weight));
  }
  std::printf("#   picker  %s\n", profile.picker_name.c_str());
  std::printf("#   scores are %s\n", profile.kind == scheduling::ScoreKind::kTokens
                                         ? "costs in prompt tokens, the lowest wins"
                                         : "shares of 1 times their weights, the highest wins");
}

int check(const Flags& flags) {
  if (flags.list_policies) {
    for (const auto& policy : scheduling::shipped_policies()) {
      const std::string_view first = policy.yaml.substr(0, policy.yaml.find('\n'));
      std::printf("%-14.*s %.*s\n", static_cast<int>(policy.name.size()), policy.name.data(),
                  static_cast<int>(first.size()), first.data());
    }
    return 0;
  }
  config::Problems problems;
  auto text =
      flags.config.empty() ? Result<std::string>("{}") : fleet::FileWatch::read_file(flags.config);
  if (!text) return complain(text.error().message, 2);
  const auto generation = router::build_generation(
      *text, flags.config.empty() ? "defaults" : flags.config, flags.policy, problems);
  if (!problems.list().empty()) std::fprintf(stderr, "%s", problems.to_string().c_str());
  if (!generation) return complain("the configuration has errors", 2);
  std::printf("# Effective configuration, policy %s\n%s", generation->policy.c_str(),
              config::effective_yaml(generation->settings).c_str());
  print_profile(generation->profile);
  return 0;
}

}  // namespace

Command add_check(CLI::App& parent) {
  CLI::App* command =
      parent.add_subcommand("check", "Validates a configuration and prints what it amounts to");
  auto flags = std::make_shared<Flags>();
  command->add_option("config", flags->config, "Configuration file (YAML); default: no file");
  command->add_option("--policy", flags->policy, "Shipped policy instead of the configured one");
  command->add_flag("--list-policies", flags->list_policies, "Names the shipped policies");
  command->footer(
      "Examples:\n"
      "  fairlead check serve.yaml\n"
      "  fairlead check --list-policies");
  return [flags] { return check(*flags); };
}

}  // namespace fairlead::app
