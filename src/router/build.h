// SPDX-License-Identifier: Apache-2.0
// Builds a Generation from one configuration document: the settings of `fairlead serve` or
// `fairlead epp` and the scheduling policy, with every problem of the document reported at once.
// Pure text in, value out; thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/config/go_flags.h"
#include "core/config/section.h"
#include "router/router.h"

namespace fairlead::router {

// Null when `problems` has errors. A non-empty `policy` names a shipped policy that replaces the
// document's own.
std::shared_ptr<Generation> build_generation(std::string_view yaml, std::string_view file,
                                             std::string_view policy, config::Problems& problems);

// What `fairlead epp` runs by. The generation's settings have what its flags and the key `epp` say
// of workers, limits, drain, scraping and the log; the document's `gateway`, `limits` and
// `access` are checked, and the defaults are in force.
struct EppPlan {
  std::shared_ptr<Generation> generation;
  std::string effective;  // The whole EndpointPickerConfig, with its defaults.
  std::string graph;      // What feeds what, a line each.
  std::string responses;  // Which responses pass the picker, and why.
};

// nullopt when `problems` has errors. Where endpoints come from a file, that file is not read here.
std::optional<EppPlan> build_epp(std::string_view yaml, std::string_view file,
                                 const config::GivenFlags& flags,
                                 const config::EppEnvironment& environment,
                                 config::Problems& problems);

}  // namespace fairlead::router
