// SPDX-License-Identifier: Apache-2.0
// What the filters of disaggregated serving have in common: rows stay whose label llm-d.ai/role is
// one of the given. Not a plugin of its own. Const after construction; thread-safe.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

enum class Roleless : std::uint8_t { kRemoved, kKept };

// `roles` outlives the filter.
std::unique_ptr<Filter> make_role_filter(std::span<const std::string_view> roles,
                                         Roleless roleless);

}  // namespace fairlead::scheduling
