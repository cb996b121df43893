// SPDX-License-Identifier: Apache-2.0
// bounded-hash-scorer: consistent hashing with bounded loads, a re-implementation of KubeAI's
// strategy PrefixHash (CHWBL) from its description. Each endpoint has `replication` points on a
// ring of 2^64; the start of the prompt is one, too. An endpoint is within the bound when
//   in flight + 1 <= meanLoadFactor * (sum of in flight + 1) / rows, or nothing is in flight
// and the first endpoint within it, going up from the prompt's point, is the policy's:
//   (0.5 when within the bound) + 0.5 / (1 + replication * way),
// way: the part of the ring between the prompt's point and the next one of the endpoint. So when
// none is within the bound, the nearest is the best, as there.
// Units: requests; parts of the ring. Parameters: leadingBlocks 1, the blocks of the history
// (prefix.blockBytes) that are the start of a prompt, as many as it has where it is shorter;
// replication 256; meanLoadFactor 1.25.
// Differs from the original, which hashes the first 100 characters by XXH64: a block of the
// history is the least; the points of an endpoint are those of every other, turned by its name's
// hash; routers of another key seed have another ring.
// Absence: a prompt without a whole block has no point, and every way is 0.
// Cost: about 10 ns a row. Source: KubeAI's documentation of load balancing; Mirrokni, Thorup,
// Zadimoghaddam, "Consistent Hashing with Bounded Loads", arXiv 1608.01350.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec bounded_hash_scorer_spec();

}  // namespace fairlead::scheduling
