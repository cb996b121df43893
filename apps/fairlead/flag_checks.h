// SPDX-License-Identifier: Apache-2.0
// What a flag's value may be, with messages that say what to write. CLI11's own name the numeric
// limits of their types instead. Values; threads: main only.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>

namespace fairlead::app {

CLI::Validator from_to(double least, double most);
CLI::Validator not_empty();
// From `least` to `most`, both allowed.
CLI::Validator whole_number(std::uint64_t least, std::uint64_t most);

}  // namespace fairlead::app
