// SPDX-License-Identifier: Apache-2.0
// static_partition: an oracle for workloads whose prompts come in groups with a prefix each: every
// group lives on one engine, chosen beforehand with the whole workload known, so that the engines'
// shares of the work are as even as they can be made (largest group first, to the least burdened).
// It computes no prefix twice and never hesitates; what it cannot do is to react.
// Pure; the profile is immutable.
#pragma once

#include <cstdint>
#include <optional>

#include "core/scheduling/profile.h"
#include "lab/world/prepared_workload.h"

namespace fairlead::plan {

inline constexpr std::string_view kStaticPartition = "static-partition";

// Nothing when the workload has no groups, or when its groups begin alike.
std::optional<scheduling::Profile> static_partition(const world::PreparedWorkload& prepared,
                                                    std::uint32_t engines);

}  // namespace fairlead::plan
