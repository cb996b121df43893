// SPDX-License-Identifier: Apache-2.0
// running-requests-size-scorer: prefers engines with small batches:
// (max - running) / (max - min) over the rows; 1 for all when they are equal.
// Units: requests, scraped. Parameters: none. Absence: never scraped counts as 0.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec running_requests_size_scorer_spec();

}  // namespace fairlead::scheduling
