// SPDX-License-Identifier: Apache-2.0
// externality-cost-scorer: what sending the request here costs everybody, in prompt tokens of a
// usual endpoint:
//   slowness * (queue + own * (1 + ownWeight + shortageWeight * shortage + waitingWeight * crowd
//                              + decodeWeight * decoding)
//               + decodeSlotTokens * decoding
//               + kvWeight * (1 + ownWeight)
//                 * max(0, used + queue + own + growthTokens * decoding - kvKnee * capacity))
// queue: uncached tokens of prompts there without a first token; own: this prompt's uncached tokens
// there; crowd: requests without a first token per endpoint, averaged over the rows; decoding:
// requests past their first token there. Queue, crowd and decoding are of this router's requests
// and of others' (fleet::OthersMeter). shortage: share of the tokens lately computed that twice the
// memory would still have held, which is how likely what own work pushes out is asked for again;
// slowness: times as long as others the endpoint takes for a prompt, learnt from first tokens
// (fleet::SpeedTable). Own work delays this request, everyone waiting behind it (crowd) and every
// running decode, and pushes as much out of the caches (shortage). A decode slot costs what a
// sequence adds to one step, which decides among equals; more trades first tokens for the gaps
// between later ones (docs/adr/0010). What goes beyond the knee of the engine's KV memory (used and
// capacity: tokens, scraped) pushes out as much of those who run there: each grows by growthTokens,
// until one is preempted, and half of it is prefilled again (docs/adr/0015). All inputs but used,
// capacity and others' are this router's own accounting, changed at the moment of the decision, so
// that a burst does not herd. Absence: an engine that never told its capacity has no knee, one
// without figures has none of others, and a pool that never told any has no shortage.
// Parameters: ownWeight 0, what own work delays this request beyond once; shortageWeight 8;
// waitingWeight 0.5; decodeWeight 0.1; decodeSlotTokens 8 tokens; growthTokens 500 tokens; kvKnee
// 0.8 of the capacity; kvWeight 0.5.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec externality_cost_scorer_spec();

}  // namespace fairlead::scheduling
