// SPDX-License-Identifier: Apache-2.0
// externality-cost-scorer: what sending the request here costs everybody, in prompt tokens:
//   queue + own * (1 + ownWeight + waitingWeight * crowd + decodeWeight * decoding)
//         + decodeSlotTokens * decoding
// queue: in-flight uncached tokens there; own: this prompt's uncached tokens there; crowd: requests
// without a first token per endpoint, averaged over the rows; decoding: requests past their first
// token there. Own work delays this request (1 + ownWeight), everyone waiting behind it (crowd) and
// every running decode; a decode slot has a price because each sequence lengthens every step.
// All inputs are this router's own accounting, so the score does not suffer from stale metrics.
// Parameters: ownWeight 1; waitingWeight 2; decodeWeight 0.05; decodeSlotTokens 1000 tokens.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec externality_cost_scorer_spec();

}  // namespace fairlead::scheduling
