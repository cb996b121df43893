// SPDX-License-Identifier: Apache-2.0
// token-load-scorer: prefers endpoints with little prefill work ahead, this request's own included:
// 1 - min(in-flight uncached tokens + own uncached tokens, threshold) / threshold.
// Units: prompt tokens. Parameters: queueThresholdTokens 4194304; inFlightLoadProducerName is
// accepted and names the built-in producer. Absence: unknown prompts count as uncached.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec token_load_scorer_spec();

}  // namespace fairlead::scheduling
