// SPDX-License-Identifier: Apache-2.0
// weighted-random-picker: draws a row with probability proportional to its total (Efraimidis and
// Spirakis' A-Res: the largest U^(1/total)). Totals of 0 or less are drawn only when all are.
// Parameters: maxNumOfEndpoints 1, as in max-score-picker.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

PickerSpec weighted_random_picker_spec();

}  // namespace fairlead::scheduling
