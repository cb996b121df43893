// SPDX-License-Identifier: Apache-2.0
// load-aware-scorer: 0.5 for an engine with an empty queue, falling to 0 at `threshold` waiting
// requests: 0.5 * (1 - min(waiting, threshold) / threshold).
// Units: requests, scraped. Parameters: threshold 128. Absence: never scraped counts as 0.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec load_aware_scorer_spec();

}  // namespace fairlead::scheduling
