// SPDX-License-Identifier: Apache-2.0
// concurrency-detector, two plugins of one type.
// As a filter: keeps endpoints with in flight < capacity * (1 + headroom), the right side cut to a
// whole number: requests against maxConcurrency, tokens against maxTokenConcurrency, or both
// (hybrid). The set may become empty.
// As the saturation detector: what is in flight at all candidates over what may be, for hybrid the
// mean over the candidates of the larger ratio; at 1 or more a request of negative priority is
// refused.
// Units: requests; uncached prompt tokens up to their first token; both sent by this router.
// Parameters: concurrencyMode requests | tokens | hybrid (requests); maxConcurrency 100;
// maxTokenConcurrency 1000000; headroom 0.0, at least 0; inFlightLoadProducerName is accepted and
// names the built-in producer. Absence: nothing is in flight at a new endpoint.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec concurrency_detector_filter_spec();
AdmitterSpec concurrency_detector_admitter_spec();

}  // namespace fairlead::scheduling
