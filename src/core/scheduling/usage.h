// SPDX-License-Identifier: Apache-2.0
// Usage: the tokens that an engine says an answer took, as reporters see them.
// Absence: what the answer did not tell is empty. Units: tokens. A value.
#pragma once

#include <cstdint>
#include <optional>

namespace fairlead::scheduling {

struct Usage {
  std::optional<std::uint64_t> prompt_tokens;
  std::optional<std::uint64_t> completion_tokens;
  std::optional<std::uint64_t> total_tokens;   // Empty: the sum of the two above, if both are told.
  std::optional<std::uint64_t> cached_tokens;  // Of the prompt.
};

}  // namespace fairlead::scheduling
