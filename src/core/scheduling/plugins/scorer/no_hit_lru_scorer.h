// SPDX-License-Identifier: Apache-2.0
// no-hit-lru-scorer: spreads prompts that no endpoint has cached. When any row has a cached token
// all rows score 0.5; else the endpoint whose last such prompt lies longest back scores 1, the next
// less: 1 - rank / (rows - 1). The memory is fleet::PlacementLedger. Parameters: lruSize 1024 is
// accepted and has no effect, the memory holds every endpoint; prefixMatchInfoProducerName,
// prefixPluginType and prefixPluginName likewise.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec no_hit_lru_scorer_spec();

}  // namespace fairlead::scheduling
