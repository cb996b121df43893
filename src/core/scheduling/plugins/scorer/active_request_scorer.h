// SPDX-License-Identifier: Apache-2.0
// active-request-scorer: prefers endpoints with few requests in flight from this router:
// 1 when n <= idleThreshold, else (max - n) / max * maxBusyScore, max over the rows.
// Units: requests. Parameters: idleThreshold 0; maxBusyScore 1.0 in [0, 1];
// inFlightLoadProducerName and requestTimeout are accepted and have no effect.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec active_request_scorer_spec();

}  // namespace fairlead::scheduling
