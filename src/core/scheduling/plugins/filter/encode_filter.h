// SPDX-License-Identifier: Apache-2.0
// encode-filter: keeps endpoints that may encode images and sound: label llm-d.ai/role is encode,
// encode-prefill or encode-prefill-decode. Absence: no role label is removed. Parameters: none.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec encode_filter_spec();

}  // namespace fairlead::scheduling
