// SPDX-License-Identifier: Apache-2.0
// random-picker: uniform over the rows, without replacement where several are wanted.
// Parameters: maxNumOfEndpoints 1 (max_endpoints.h).
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

PickerSpec random_picker_spec();

}  // namespace fairlead::scheduling
