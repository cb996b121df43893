// SPDX-License-Identifier: Apache-2.0
// probabilistic-admitter: sheds requests of negative priority, the more the busier the pool is.
// With s the mean over all candidates of max(waiting / queueDepthThreshold, kv usage /
// kvCacheUtilThreshold), a request is refused with probability min(k * s^power, 1).
// Units: requests; fraction of KV blocks; scraped. Parameters, all above 0: queueDepthThreshold 5;
// kvCacheUtilThreshold 0.8; power 5; k 300.
// Absence: an endpoint never scraped counts as 1. Old metrics are believed.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

AdmitterSpec probabilistic_admitter_spec();

}  // namespace fairlead::scheduling
