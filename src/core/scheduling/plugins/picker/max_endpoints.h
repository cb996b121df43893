// SPDX-License-Identifier: Apache-2.0
// maxNumOfEndpoints, which the llm-d pickers share: how many endpoints they name, the choice and
// those behind it. Default 1; less counts as 1; more than Ranking::kMax (9) are cut, with a
// warning.
#pragma once

#include <algorithm>

#include "core/config/section.h"
#include "core/scheduling/ranking.h"

namespace fairlead::scheduling {

inline std::size_t read_max_endpoints(config::Section& parameters) {
  constexpr std::int64_t kMost = Ranking::kMax;
  const std::int64_t wanted = parameters.integer("maxNumOfEndpoints", 1, -1'000'000, 1'000'000);
  if (wanted > kMost) parameters.warning("maxNumOfEndpoints", "counts as 9, the most there are");
  return static_cast<std::size_t>(std::clamp<std::int64_t>(wanted, 1, kMost));
}

}  // namespace fairlead::scheduling
