// SPDX-License-Identifier: Apache-2.0
// lora-affinity-scorer: prefers engines that have this request's adapter at hand: 1 when it is in
// the batch; else 0.8 when the engine has room for one more (active + waiting < max); else 0.6 when
// it waits there; else 0.
// Units: adapters, scraped. Parameters: none. Absence: an engine without adapters scores 0.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec lora_affinity_scorer_spec();

}  // namespace fairlead::scheduling
