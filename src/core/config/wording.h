// SPDX-License-Identifier: Apache-2.0
// Wording: how a problem message shows what an operator wrote, and what he may have meant.
// Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fairlead::config {

// In double quotes, on one line, control characters escaped, cut at 80 bytes.
std::string in_quotes(std::string_view text);

// `; did you mean "x"?` for the known word nearest in spelling, or nothing when none is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known);

// A double-quoted YAML scalar that reads back as the same text.
std::string yaml_quoted(std::string_view text);

}  // namespace fairlead::config
