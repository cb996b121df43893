// SPDX-License-Identifier: Apache-2.0
// weighted-random-picker: draws rows with probability proportional to their totals, without
// replacement (Efraimidis and Spirakis' A-Res: the largest U^(1/total) first). Totals of 0 or less
// have key 0: they are drawn, uniformly, when no other is left.
// Parameters: maxNumOfEndpoints 1 (max_endpoints.h).
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

PickerSpec weighted_random_picker_spec();

}  // namespace fairlead::scheduling
