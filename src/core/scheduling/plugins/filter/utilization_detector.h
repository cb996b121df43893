// SPDX-License-Identifier: Apache-2.0
// utilization-detector, two plugins of one type.
// As a filter: keeps endpoints whose metrics are fresh, with waiting < queueDepthThreshold * (1 +
// headroom) and kv usage < kvCacheUtilThreshold * (1 + headroom). When none is left it keeps all.
// As the saturation detector: an endpoint's load is max(waiting / queueDepthThreshold, kv usage /
// kvCacheUtilThreshold), 1 with stale metrics; at a mean of 1 or more over all candidates a request
// of negative priority is refused.
// Units: requests; fraction of KV blocks; age of the last scrape. Parameters: queueDepthThreshold
// 5, above 0; kvCacheUtilThreshold 0.8 in (0, 1]; metricsStalenessThreshold 200ms, above 0;
// headroom 0.0, at least 0. Absence: an endpoint never scraped is stale.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec utilization_detector_filter_spec();
AdmitterSpec utilization_detector_admitter_spec();

}  // namespace fairlead::scheduling
