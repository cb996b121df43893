// SPDX-License-Identifier: Apache-2.0
// power-of-two-picker: draws two rows by lot and takes the one with the higher total, of equals the
// first drawn; a single row is taken as it is. Beside active-request-scorer it is the power of two
// choices as Envoy, AIBrix and the Rust routers have it; beside another scorer it is that scorer,
// asked of two. No fall-backs. Parameters: none.
// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

PickerSpec power_of_two_picker_spec();

}  // namespace fairlead::scheduling
