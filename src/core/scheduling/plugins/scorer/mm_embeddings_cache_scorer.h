// SPDX-License-Identifier: Apache-2.0
// mm-embeddings-cache-scorer: prefers engines that were sent this request's images, sounds and
// films before and so may hold what their encoder made of them: the size of the items known there
// over the size of all. What was sent where is remembered by hash, the last 2,048 an endpoint.
// Units: bytes as the client wrote them. Parameters: producerName is accepted and names the
// built-in producer. Absence: a request without such items scores 0.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec mm_embeddings_cache_scorer_spec();

}  // namespace fairlead::scheduling
