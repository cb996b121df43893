// SPDX-License-Identifier: Apache-2.0
// label-selector-filter: keeps endpoints whose labels satisfy a Kubernetes label selector;
// by-label-selector is its deprecated name.
// Parameters: matchLabels {key: value}; matchExpressions [{key, operator In|NotIn|Exists|
// DoesNotExist, values}]. All must hold; an empty selector keeps everything.
// Absence: a missing label satisfies NotIn and DoesNotExist only.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec label_selector_filter_spec();
FilterSpec by_label_selector_spec();

}  // namespace fairlead::scheduling
