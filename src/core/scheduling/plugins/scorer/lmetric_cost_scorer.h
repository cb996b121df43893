// SPDX-License-Identifier: Apache-2.0
// lmetric-cost-scorer: a re-implementation, from its description, of LMetric's product, which has
// no weights: new prefill tokens * batch size, the least wins.
//   batch size = requests in flight there + 1, this one
//   new prefill tokens = own + queue   with prefillTokens: queued
//                      = own           with prefillTokens: own
// own: this prompt's uncached tokens there; queue: uncached prompt tokens in flight there, up to
// their first token. Unit: tokens x requests, so it does not add up with costs in tokens.
// Parameters: prefillTokens queued (or own).
// Absence: without prefix knowledge the whole prompt is own work.
// Source: LMetric, arXiv 2603.15202.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec lmetric_cost_scorer_spec();

}  // namespace fairlead::scheduling
