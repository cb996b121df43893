// SPDX-License-Identifier: Apache-2.0
// The subcommand `fairlead plan sweep`: the best parameters of a policy, searched for over several
// workloads. Threads: main only.
#pragma once

#include "commands.h"

namespace fairlead::app {

Command add_plan_sweep(CLI::App& plan);

}  // namespace fairlead::app
