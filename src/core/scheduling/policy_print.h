// SPDX-License-Identifier: Apache-2.0
// What llm-d adds to an EndpointPickerConfig by itself, and how policy_config.h prints one.
// Private to the policy files. Pure functions.
#pragma once

#include "core/scheduling/picker_config.h"
#include "core/scheduling/profile.h"

namespace fairlead::scheduling {

// Adds the plugins that the document's parts need and do not declare: producers of what the
// profile reads, its picker and handler, sources, extractors, parsers, the detector.
void add_default_plugins(const Profile& profile, PickerConfig& config);

}  // namespace fairlead::scheduling
