// SPDX-License-Identifier: Apache-2.0
// queue-scorer: prefers engines with few waiting requests:
// (max - waiting) / (max - min) over the rows; 1 for all when they are equal.
// Units: requests, scraped. Parameters: none. Absence: never scraped counts as 0.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec queue_scorer_spec();

}  // namespace fairlead::scheduling
