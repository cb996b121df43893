// SPDX-License-Identifier: Apache-2.0
// kv-cache-utilization-scorer: prefers engines with free KV blocks: 1 - usage.
// Units: fraction of KV blocks in use, scraped. Parameters: none. Absence: counts as 0 usage.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec kv_cache_utilization_scorer_spec();

}  // namespace fairlead::scheduling
