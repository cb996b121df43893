// SPDX-License-Identifier: Apache-2.0
// Policy configuration: an EndpointPickerConfig document, or `policy: <name>`, as a Profile and
// what goes with it.
//
// The document may stand alone or share a file with the settings of `fairlead serve` or `fairlead
// epp`; without profiles and plugins the policy is the front's default. Reading is strict: what is
// not built in here is refused by name ("not supported yet: ..."), what has no effect is remarked
// on, and all problems of a document are reported at once. The format is llm-d's, apiVersion
// llm-d.ai/v1alpha1 and its older alias.
// Threads: pure functions; the result is immutable.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/section.h"
#include "core/scheduling/picker_config.h"
#include "core/scheduling/profile.h"
#include "core/scheduling/registry.h"

namespace fairlead::scheduling {

inline constexpr std::string_view kDefaultPolicy = "fairlead";
inline constexpr std::string_view kDefaultEnvoyPolicy = "blend";  // As llm-d's without a word.

// Who asks for decisions; it says what of the document has a meaning.
enum class Front : std::uint8_t {
  kGateway,  // `fairlead serve`: routes, endpoints and limits are its own settings.
  kEnvoy,    // `fairlead epp`.
};
enum class Experimental : std::uint8_t { kAllowed, kRefused };

struct PolicyRules {
  Columns filled;  // That the program's candidate tables carry.
  Front front = Front::kGateway;
  Experimental experimental = Experimental::kAllowed;
};

struct BuiltPolicy {
  std::string name;                  // Of the shipped policy, or "custom".
  std::unique_ptr<Profile> profile;  // Null when `problems` has errors.
  PickerConfig picker;
};

// The caller finishes `root`. Errors that `problems` holds already count.
BuiltPolicy build_policy(config::Section& root, const Registry& registry, const PolicyRules& rules,
                         config::Problems& problems);

// The whole EndpointPickerConfig with its defaults, which reads back to the same policy.
std::string effective_yaml(const BuiltPolicy& policy);
// What feeds what: sources to columns to filters, scorers and the picker, one line each.
std::string plugin_graph(const BuiltPolicy& policy);

// A policy file of data/policies or data/policies/peers, built into the program.
struct ShippedPolicy {
  std::string_view name;  // The file's name without its ending.
  std::string_view yaml;
};

// Those to choose from, and the rules of other routers to compare with. Both sorted by name; a name
// is in one of them.
std::span<const ShippedPolicy> shipped_policies();
std::span<const ShippedPolicy> peer_policies();
std::vector<std::string_view> shipped_policy_names();
std::vector<std::string_view> peer_policy_names();
// The YAML text of either; empty when there is no such policy.
std::string_view shipped_policy(std::string_view name);

}  // namespace fairlead::scheduling
