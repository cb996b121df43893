// SPDX-License-Identifier: Apache-2.0
// random-picker: uniform over the rows. Parameters: maxNumOfEndpoints 1, as in max-score-picker.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

PickerSpec random_picker_spec();

}  // namespace fairlead::scheduling
