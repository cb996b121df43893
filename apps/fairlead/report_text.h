// SPDX-License-Identifier: Apache-2.0
// What a report says around its figures: the machine, the date and the command, as this program
// finds them. Threads: main only.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "lab/load/model/report.h"

namespace fairlead::app {

// Fills `generated` and `machine`; the rest is the caller's.
void describe_machine(load::ReportText& text);
Result<void> write_file(const std::string& path, std::string_view content);

}  // namespace fairlead::app
