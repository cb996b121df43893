// SPDX-License-Identifier: Apache-2.0
// utilization-filter: keeps endpoints that are not saturated: every listed metric is at most its
// maximum. Parameters: conditions [{metric: active-requests | running-requests | waiting-queue |
// kv-cache-utilization, maxValue >= 0}], at least one, kv at most 1; fallbackOnEmpty (false): keep
// all when none would be left. Absence: a figure never scraped counts as 0.
// Units: requests; fraction of KV blocks.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec utilization_filter_spec();

}  // namespace fairlead::scheduling
