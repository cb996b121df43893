// SPDX-License-Identifier: Apache-2.0
// decode-filter: keeps endpoints that may decode: label llm-d.ai/role is decode, prefill-decode,
// both or encode-prefill-decode. Absence: no role label means a full engine, which is kept.
// Parameters: none.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec decode_filter_spec();

}  // namespace fairlead::scheduling
