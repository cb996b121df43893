// SPDX-License-Identifier: Apache-2.0
// Policy configuration: an EndpointPickerConfig document, or `policy: <name>`, as a Profile.
//
// The document may stand alone or share a file with the settings of `fairlead serve`; without
// either key the policy is kDefaultPolicy. Reading is strict: what is not built in here is refused
// by name ("not supported yet: ..."), never ignored, and all problems of a document are reported
// at once. The format is llm-d's, apiVersion llm-d.ai/v1alpha1 and its older alias.
// Threads: pure functions; the result is immutable.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/section.h"
#include "core/scheduling/profile.h"
#include "core/scheduling/registry.h"

namespace fairlead::scheduling {

inline constexpr std::string_view kDefaultPolicy = "fairlead";

struct BuiltPolicy {
  std::string name;                  // Of the shipped policy, or "custom".
  std::unique_ptr<Profile> profile;  // Null when `problems` has errors.
};

// `filled` are the columns that the program's candidate tables carry. The caller finishes `root`.
// Errors that `problems` holds already count.
BuiltPolicy build_policy(config::Section& root, const Registry& registry, Columns filled,
                         config::Problems& problems);

// A policy file of data/policies, built into the program.
struct ShippedPolicy {
  std::string_view name;  // The file's name without its ending.
  std::string_view yaml;
};

std::span<const ShippedPolicy> shipped_policies();  // Sorted by name.
std::vector<std::string_view> shipped_policy_names();
// Its YAML text; empty when there is no such policy.
std::string_view shipped_policy(std::string_view name);

}  // namespace fairlead::scheduling
