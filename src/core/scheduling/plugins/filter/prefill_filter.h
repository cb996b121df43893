// SPDX-License-Identifier: Apache-2.0
// prefill-filter: keeps endpoints that may prefill: label llm-d.ai/role is prefill, encode-prefill,
// prefill-decode, both or encode-prefill-decode. Absence: no role label is removed.
// Parameters: none.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec prefill_filter_spec();

}  // namespace fairlead::scheduling
