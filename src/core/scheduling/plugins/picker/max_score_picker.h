// SPDX-License-Identifier: Apache-2.0
// max-score-picker: the highest total; ties are broken uniformly at random.
// Parameters: maxNumOfEndpoints 1; more has no effect here, because a retry decides anew.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

PickerSpec max_score_picker_spec();

}  // namespace fairlead::scheduling
