// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <sstream>
#include <string>

#include "commands.h"
#include "core/access/key_table.h"
#include "core/scheduling/policy_config.h"
#include "descriptors.h"
#include "io/fleet/file_watch.h"
#include "router/build.h"
#include "router/router.h"

namespace fairlead::app {
namespace {

struct CheckFlags {
  std::string config;
  std::string policy;
  bool list_policies = false;
  std::string show_policy;
  bool for_epp = false;
  bool allow_experimental = false;
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

// The first sentence of a policy's head comment, without its name.
std::string summary_of(const scheduling::ShippedPolicy& policy) {
  std::istringstream lines{std::string(policy.yaml)};
  std::string text;
  for (std::string line; std::getline(lines, line) && line.starts_with("# ");) {
    text += line.substr(text.empty() ? 2 : 1);
    if (line.ends_with('.')) break;
  }
  const std::string name = std::string(policy.name) + ": ";
  if (text.starts_with(name)) text.erase(0, name.size());
  const std::size_t end = text.find(". ");
  return end == std::string::npos ? text : text.substr(0, end + 1);
}

void list(std::span<const scheduling::ShippedPolicy> policies) {
  constexpr std::size_t kNameWidth = 20;
  constexpr std::size_t kWidth = 100;
  for (const auto& policy : policies) {
    std::string line = fmt::format("{:<{}}", policy.name, kNameWidth - 1);
    std::istringstream words(summary_of(policy));
    for (std::string word; words >> word; line += " " + word) {
      if (line.size() + 1 + word.size() <= kWidth) continue;
      std::printf("%s\n", line.c_str());
      line.assign(kNameWidth - 1, ' ');
    }
    std::printf("%s\n", line.c_str());
  }
}

int list_policies() {
  list(scheduling::shipped_policies());
  std::printf("\nRules of other routers, written anew, to compare with:\n\n");
  list(scheduling::peer_policies());
  return 0;
}

int show_policy(const std::string& name) {
  const std::string_view yaml = scheduling::shipped_policy(name);
  if (yaml.empty()) {
    return complain(
        fmt::format("--show-policy: {} is none of those that --list-policies names", name), 2);
  }
  std::fwrite(yaml.data(), 1, yaml.size(), stdout);
  return 0;
}

// Whether the file can be opened for appending, without making it.
Result<void> appendable(const std::string& path) {
  if (path.empty() || path == "-") return {};
  const auto folder = std::filesystem::path(path).parent_path();
  if (::access(path.c_str(), F_OK) != 0) {
    if (::access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK) == 0) return {};
  } else if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    errno = EISDIR;
  } else if (::access(path.c_str(), W_OK) == 0) {
    return {};
  }
  return fail(ErrorCode::kIo, "cannot open {} for writing: {}", path, std::strerror(errno));
}

// The endpoints file as `serve` will read it, beside the configuration's own endpoints.
void check_endpoints_file(const config::FleetSettings& settings, const config::Section& fleet,
                          config::Problems& problems) {
  if (settings.endpoints_file.empty()) return;
  const auto text = fleet::FileWatch::read_file(settings.endpoints_file);
  if (!text) return fleet.error("endpointsFile", text.error().message);
  const auto more =
      config::parse_members(settings.endpoints_format, *text, settings.endpoints_file, problems);
  if (!more) return;
  for (const config::EndpointSetting& endpoint : *more) {
    const bool is_taken = std::ranges::any_of(settings.endpoints, [&](const auto& other) {
      return other.name == endpoint.name || other.address == endpoint.address;
    });
    if (!is_taken) continue;
    fleet.error("endpointsFile",
                fmt::format("its endpoint {} is in fleet.endpoints too", endpoint.name));
  }
}

// The files of keys. What is wrong with them is told without any of their values.
void check_key_files(const config::ServeSettings& settings, config::Section& root,
                     const config::Section& fleet, config::Problems& problems) {
  if (const std::string& keys = settings.access.keys_file; !keys.empty()) {
    const auto text = fleet::FileWatch::read_file(keys);
    if (!text) {
      root.child("access").error("keysFile", text.error().message);
    } else {
      access::parse_keys_file(*text, keys, problems);
    }
  }
  if (const std::string& key = settings.fleet.engine_key_file; !key.empty()) {
    const auto good = fleet::FileWatch::read_file(key).and_then(access::engine_authorization);
    if (!good) fleet.error("engineKeyFile", good.error().message);
  }
}

void check_secret_file(const config::ReplicaSettings& replicas, config::Section& root) {
  if (replicas.secret_file.empty()) return;
  const auto good = fleet::FileWatch::read_file(replicas.secret_file)
                        .and_then(replication::ReplicaSecret::derive);
  if (!good) root.child("replicas").error("secretFile", good.error().message);
}

// Certificates, keys and CAs, read as `serve` will read them.
void check_tls_files(const config::ServeSettings& settings, config::Section& root,
                     config::Section& fleet) {
  if (auto good = router::open_client_tls(settings.gateway); !good) {
    root.child("gateway").child("tls").error("", good.error().message);
  }
  if (auto good = router::open_engine_tls(settings.fleet.tls); !good) {
    fleet.child("tls").error("", good.error().message);
  }
}

// What the document alone does not show: the files that it names, and this process's limits.
void check_files(const config::ServeSettings& settings, std::string_view text,
                 const std::string& file, config::Problems& problems) {
  config::Section root = config::Section::parse(text, file, problems);
  config::Section fleet = root.child("fleet");
  check_endpoints_file(settings.fleet, fleet, problems);
  check_key_files(settings, root, fleet, problems);
  check_secret_file(settings.replicas, root);
  check_tls_files(settings, root, fleet);
  if (auto good = appendable(settings.gateway.access_log); !good) {
    root.child("gateway").error("accessLog", good.error().message);
  }
  // A default that does not fit is no mistake of the document; `serve` tells of it.
  const config::Section limits = root.child("limits");
  const std::string doubt = descriptor_doubt(settings.limits.connections, hard_descriptor_limit());
  if (limits.has("connections") && !doubt.empty()) limits.warning("connections", doubt);
  if (settings.fleet.endpoints.empty() && settings.fleet.endpoints_file.empty()) {
    fleet.warning("", "no endpoints: `fairlead serve` will want --endpoint or --endpoints-file");
  }
}

void print_configuration(const router::Generation& generation, const std::string& file) {
  std::printf("# Effective configuration, policy %s\n", generation.policy.c_str());
  if (!scheduling::shipped_policy(generation.policy).empty()) {
    std::printf("policy: %s\n", generation.policy.c_str());
  } else {
    std::printf("# Beside the plugins and schedulingProfiles of %s.\n", file.c_str());
  }
  std::printf("%s", config::effective_yaml(generation.settings).c_str());
  print_profile(generation.profile);
}

// One line a line, as comments.
std::string commented(const std::string& text) {
  std::istringstream lines(text);
  std::string out;
  for (std::string line; std::getline(lines, line);) out += "#   " + line + "\n";
  return out;
}

void print_plan(const router::EppPlan& plan) {
  std::printf("# Effective configuration of `fairlead epp`, policy %s\n%s%s",
              plan.generation->policy.c_str(), plan.effective.c_str(),
              config::effective_yaml(plan.generation->epp).c_str());
  // What stands before is for `serve` only.
  config::ServeSettings shown = plan.generation->settings;
  if (plan.generation->picker.discovery) shown.fleet.endpoints_file.clear();  // It is said above.
  const std::string settings = config::effective_yaml(shown);
  std::printf("%s", settings.substr(settings.find("\nfleet:") + 1).c_str());
  std::printf("\n# Plugins: what feeds what\n%s", commented(plan.graph).c_str());
  std::printf("# Responses that pass the picker\n#   %s\n", plan.responses.c_str());
}

int check_epp(const CheckFlags& flags) {
  config::Problems problems;
  config::GivenFlags given;
  given.add("pool-name", "checked");
  if (flags.allow_experimental) given.add("allow-experimental-plugins", "true");
  const bool has_file = !flags.config.empty();
  const std::string file = has_file ? flags.config : "defaults";
  const auto text = has_file ? fleet::FileWatch::read_file(file) : Result<std::string>("{}");
  if (!text) return complain(text.error().message, 2);
  const auto plan = router::build_epp(*text, file, given, {}, problems);
  if (plan) {
    config::Section root = config::Section::parse(*text, file, problems);
    config::Section fleet = root.child("fleet");
    check_endpoints_file(plan->generation->settings.fleet, fleet, problems);
    check_key_files(plan->generation->settings, root, fleet, problems);
    if (auto good = appendable(plan->generation->epp.access_log); !good) {
      root.child("epp").error("accessLog", good.error().message);
    }
  }
  if (!problems.list().empty()) std::fprintf(stderr, "%s", problems.to_string().c_str());
  if (!plan || problems.has_errors()) return complain("the configuration has errors", 2);
  print_plan(*plan);
  return 0;
}

int check(const CheckFlags& flags) {
  if (flags.list_policies) return list_policies();
  if (!flags.show_policy.empty()) return show_policy(flags.show_policy);
  if (flags.for_epp) return check_epp(flags);
  config::Problems problems;
  const bool has_file = !flags.config.empty();
  const std::string file = has_file ? flags.config : "defaults";
  const auto text = has_file ? fleet::FileWatch::read_file(file) : Result<std::string>("{}");
  if (!text) return complain(text.error().message, 2);
  const auto generation = router::build_generation(*text, file, flags.policy, problems);
  if (generation && has_file) check_files(generation->settings, *text, file, problems);
  if (!problems.list().empty()) std::fprintf(stderr, "%s", problems.to_string().c_str());
  if (!generation || problems.has_errors()) return complain("the configuration has errors", 2);
  print_configuration(*generation, file);
  return 0;
}

}  // namespace

Command add_check(CLI::App& parent) {
  CLI::App* command =
      parent.add_subcommand("check", "Validates a configuration and prints what it amounts to");
  auto flags = std::make_shared<CheckFlags>();
  command->add_option("config", flags->config, "Configuration file (YAML); default: no file");
  command->add_option("--policy", flags->policy, "Shipped policy instead of the configured one");
  CLI::Option* epp = command->add_flag("--epp", flags->for_epp, "Read it as `fairlead epp` does");
  command
      ->add_flag("--allow-experimental-plugins", flags->allow_experimental,
                 "With --epp: take plugin types marked Alpha")
      ->needs(epp);
  command->add_flag("--list-policies", flags->list_policies, "Names the shipped policies");
  command->add_option("--show-policy", flags->show_policy,
                      "Prints a shipped policy with its parameters, to write your own from");
  command->footer(
      "Examples:\n"
      "  fairlead check serve.yaml\n"
      "  fairlead check --epp epp.yaml\n"
      "  fairlead check --list-policies\n"
      "  fairlead check --show-policy fairlead > mine.yaml");
  return [flags] { return check(*flags); };
}

}  // namespace fairlead::app
