// SPDX-License-Identifier: Apache-2.0
// Builds a Generation from one configuration document: the settings of `fairlead serve` and its
// scheduling policy, with every problem of the document reported at once. Pure text in, value out;
// thread-safe.
#pragma once

#include <memory>
#include <string_view>

#include "core/config/section.h"
#include "router/router.h"

namespace fairlead::router {

// Null when `problems` has errors. A non-empty `policy` names a shipped policy that replaces the
// document's own.
std::shared_ptr<Generation> build_generation(std::string_view yaml, std::string_view file,
                                             std::string_view policy, config::Problems& problems);

}  // namespace fairlead::router
