// SPDX-License-Identifier: Apache-2.0
// prefix-cache-scorer: prefers engines that hold the start of the prompt:
// w * min(1, cached / scale)^2 + (1 - w) * cached / prompt.
// Units: tokens. Parameters: matchLengthWeight w 0.0 in [0, 1]; matchLengthScaleTokens scale 8192;
// prefixMatchInfoProducerName is accepted and names the built-in producer.
// Absence: an unknown or empty prompt scores 0.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec prefix_cache_scorer_spec();

}  // namespace fairlead::scheduling
