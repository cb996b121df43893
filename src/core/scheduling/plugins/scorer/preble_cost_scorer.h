// SPDX-License-Identifier: Apache-2.0
// preble-cost-scorer: a rule like Preble's E2 (exploitation + exploration), written from its
// description, in prompt tokens. When some endpoint holds more of the prompt than would be left to
// compute there, only those with the longest match are considered: exploit; else all are: explore.
//   load + own * (1 + kv_usage)    of those considered, the least wins
//   load + own * (1 + kv_usage) + 1e9   of the others, who stand behind them
//   load = queue + decodeTokens * decoding
// queue: uncached prompt tokens in flight there; decoding: requests past their first token there,
// each as heavy as decodeTokens of prefill; own: this prompt's uncached tokens there, of which the
// share kv_usage is expected to push out something that is in use, and has to be computed again.
// It explores, too, while the least loaded of the longest matches has more than balanceFactor times
// the least load of all, and more than balanceTokens above it.
// Parameters: decodeTokens 1000 tokens; balanceFactor 2; balanceTokens 50000 tokens.
// Differs from the original: load is what is in flight, not what a window of three minutes saw;
// eviction is judged by what is in use, not by what each prefix was worth; a hot prefix is copied
// by the rule of balance alone. Absence: without prefix knowledge it always explores; a figure
// never scraped counts as 0. Source: Preble, ICLR 2025, arXiv 2407.00023.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec preble_cost_scorer_spec();

}  // namespace fairlead::scheduling
