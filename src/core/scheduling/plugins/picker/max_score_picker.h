// SPDX-License-Identifier: Apache-2.0
// max-score-picker: the highest total; ties are broken uniformly at random. Behind it stand the
// next highest, by the same rule.
// Parameters: maxNumOfEndpoints 1 (max_endpoints.h).
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

PickerSpec max_score_picker_spec();

}  // namespace fairlead::scheduling
