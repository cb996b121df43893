// SPDX-License-Identifier: Apache-2.0
#include "router/build.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/picker/candidate_builder.h"
#include "core/scheduling/catalog.h"
#include "core/scheduling/policy_config.h"

namespace fairlead::router {
namespace {

scheduling::BuiltPolicy build_from(std::string_view yaml, std::string_view file,
                                   config::Problems& problems) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Section root = config::Section::parse(yaml, file, problems);
  scheduling::BuiltPolicy built =
      scheduling::build_policy(root, registry, picker::filled_columns(), problems);
  root.finish();
  return built;
}

}  // namespace

std::shared_ptr<Generation> build_generation(std::string_view yaml, std::string_view file,
                                             std::string_view policy, config::Problems& problems) {
  auto generation = std::make_shared<Generation>();
  const scheduling::Registry registry = scheduling::builtin_registry();
  config::Section root = config::Section::parse(yaml, file, problems);
  generation->settings = config::parse_settings(root);
  scheduling::BuiltPolicy built =
      scheduling::build_policy(root, registry, picker::filled_columns(), problems);
  root.finish();
  if (!policy.empty()) {
    const std::string_view shipped = scheduling::shipped_policy(policy);
    if (shipped.empty()) {
      problems.add({"--policy", 0, "",
                    fmt::format("there is no policy {}; choose one of {}", policy,
                                fmt::join(scheduling::shipped_policy_names(), ", "))});
      return nullptr;
    }
    built = build_from(shipped, policy, problems);
    built.name = policy;
  }
  if (problems.has_errors() || !built.profile) return nullptr;
  generation->policy = built.name;
  generation->profile = std::move(*built.profile);
  return generation;
}

}  // namespace fairlead::router
