// SPDX-License-Identifier: Apache-2.0
// sglang-cache-aware-scorer: a re-implementation, from the published description, of the policy
// `cache_aware` of SGLang's router (and of smg and vllm-router, which came of it). Of three rules
// one decides, and its best endpoint is the policy's:
//   1. max - min > balanceAbsThreshold and max > balanceRelThreshold * min, over the requests in
//      flight: 1 - in flight / max, the shortest queue;
//   2. else, when the longest match is more than cacheThreshold of the prompt: the cached share;
//   3. else 1 - placed / max of placed: the endpoint that got the fewest uncached tokens so far,
//      which is the smallest tree there.
// Units: requests; prompt tokens; shares of the prompt. Parameters: cacheThreshold 0.3,
// balanceAbsThreshold 64 requests, balanceRelThreshold 1.5.
// Differs from the original: matches are in whole blocks of the history, not in characters; a tree
// never shrinks, where there it is cut to a size now and then.
// Absence: without prefix knowledge only rules 1 and 3 decide.
// Source: SGLang router and smg documentation, "Cache-aware routing".
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec sglang_cache_aware_scorer_spec();

}  // namespace fairlead::scheduling
