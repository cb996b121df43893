// SPDX-License-Identifier: Apache-2.0
// by-label (deprecated: label-selector-filter says more): keeps endpoints whose label has one of
// the valid values. Parameters: label, required; validValues []; allowsNoLabel false: keep
// endpoints without it too. One of the last two is needed. Absence: a missing label is removed
// unless allowed; a label with an empty value counts as present.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec by_label_filter_spec();

}  // namespace fairlead::scheduling
