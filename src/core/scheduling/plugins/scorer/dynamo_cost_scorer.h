// SPDX-License-Identifier: Apache-2.0
// dynamo-cost-scorer: a re-implementation, from the published description, of the cost by which
// NVIDIA Dynamo's KV router chooses, in prompt tokens instead of blocks:
//   prefillLoadScale * (active prefill + own) + active context
// active prefill: uncached prompt tokens in flight there, up to their first token; own: this
// prompt's uncached tokens there; active context: prompt tokens of the requests in flight there,
// cached or not, up to their end, which is what their decodes read at every step.
// Parameters: prefillLoadScale 1.
// Differs from the original: a block that several running requests share counts once for each of
// them, there once; output tokens do not count, as by its default; one tier of cache; the least
// cost always wins (softmax temperature 0); no request weight, queue threshold or decay.
// Absence: without prefix knowledge the whole prompt is own work. Requests that were sent before
// the policy was chosen have no context.
// Source: Dynamo's router documentation, "Cost calculation" (1.2).
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec dynamo_cost_scorer_spec();

}  // namespace fairlead::scheduling
