// SPDX-License-Identifier: Apache-2.0
// round-robin-picker: each row in turn, by a position that outlives reloads and is shared by all
// workers. With a changing row set the turn moves on by one per decision. Parameters: none.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

PickerSpec round_robin_picker_spec();

}  // namespace fairlead::scheduling
