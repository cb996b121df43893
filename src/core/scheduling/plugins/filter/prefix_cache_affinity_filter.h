// SPDX-License-Identifier: Apache-2.0
// prefix-cache-affinity-filter: sticky until saturated. An endpoint is warm when it holds at least
// affinityThreshold of the prompt. When some endpoint is warm only the warm ones stay, unless the
// least loaded warm one is behind the least loaded cold one by more than maxTTFTPenaltyMs of
// prefill; then all stay. Estimated TTFT = in-flight uncached tokens / peakPrefillThroughput.
// Parameters: affinityThreshold 0.80 in (0, 1]; explorationProbability 0; maxTTFTPenaltyMs 18000;
// peakPrefillThroughput 15928 tokens/s; ttftSource prefillThroughput (the only one built in); the
// ...ProducerName parameters are accepted and name built-in producers.
// Absence: without prefix knowledge nothing is warm and all stay.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec prefix_cache_affinity_filter_spec();

}  // namespace fairlead::scheduling
