// SPDX-License-Identifier: Apache-2.0
// cold-placement-cost-scorer: spreads new prefixes evenly. For a prompt of which no endpoint holds
// more than a tenth, each place in the order of last such placement costs tokensPerRank: the
// endpoint that got a new prefix longest ago costs 0. Other prompts cost nothing (the column is 0).
// Without it, placement follows momentary load and stays uneven for as long as the prefixes live.
// Parameters: tokensPerRank 3000 prompt tokens.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec cold_placement_cost_scorer_spec();

}  // namespace fairlead::scheduling
