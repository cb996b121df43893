// SPDX-License-Identifier: Apache-2.0
// context-length-aware, two plugins of one type: endpoints carry the range of prompt lengths they
// are for in a label, "min-max". As a scorer, for a prompt of n tokens and width = max - min:
//   min <= n <= max: 0.3 + 0.7 * (0.7 / (1 + width / 10000) + 0.3 * (max - n) / width); 1 where the
//                    width is 0
//   else:            0.3 / (1 + distance / 1000), distance to the nearer end
//   without the label 0.5; with a label that is no range 0
// As a filter, only with enableFiltering: keeps endpoints without the label or whose range holds n.
// Units: prompt tokens. Parameters: label llm-d.ai/context-length-range; enableFiltering false.
// Absence: an unknown length is 0.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec context_length_aware_filter_spec();
ScorerSpec context_length_aware_scorer_spec();

}  // namespace fairlead::scheduling
