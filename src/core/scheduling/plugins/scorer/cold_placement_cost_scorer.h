// SPDX-License-Identifier: Apache-2.0
// cold-placement-cost-scorer: spreads new prefixes evenly. For a prompt of which no endpoint holds
// more than a tenth, each place in the order of last such placement costs
//   tokensPerRank + reuseShare * reuse^2 * coldTokens
// The endpoint that got a new prefix longest ago costs 0, and other prompts cost nothing (the
// column is 0). coldTokens: what such a prompt computes, the mean of those lately placed; reuse:
// the share of prompt tokens lately placed that were cached. It counts twice: so likely what is
// placed now will be asked for again, and so much of the load follows prefixes, while the rest
// evens out what they leave. The prompt's own length does not count, because what comes to its
// endpoint later is others'. Without this cost, placement follows momentary load and stays uneven
// for as long as the prefixes live; where nothing is asked for again, momentary load is right.
// Parameters: tokensPerRank 0 prompt tokens; reuseShare 1.5.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec cold_placement_cost_scorer_spec();

}  // namespace fairlead::scheduling
