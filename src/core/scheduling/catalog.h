// SPDX-License-Identifier: Apache-2.0
// The whole shipped set of plugins, in one readable list (catalog.cpp).
#pragma once

#include "core/scheduling/registry.h"

namespace fairlead::scheduling {

// Every type name is unique within its kind, which a test checks.
Registry builtin_registry();

}  // namespace fairlead::scheduling
