// SPDX-License-Identifier: Apache-2.0
// cold-placement-cost-scorer: spreads new prefixes evenly. For a prompt of which no endpoint holds
// more than a tenth, each place in the order of last such placement costs
//   tokensPerRank + reuseShare * reuse * own
// The endpoint that got a new prefix longest ago costs 0, and other prompts cost nothing (the
// column is 0). own: the prompt's uncached tokens; reuse: the share of prompt tokens lately placed
// that were cached, which is how likely what is placed now will be asked for again. Without it,
// placement follows momentary load and stays uneven for as long as the prefixes live; where nothing
// is asked for again, momentary load is right. Parameters: tokensPerRank 0 prompt tokens;
// reuseShare 1.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec cold_placement_cost_scorer_spec();

}  // namespace fairlead::scheduling
