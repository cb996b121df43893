// SPDX-License-Identifier: Apache-2.0
// Reads a trace from a file, compressed with gzip or not, in any format that load/model/trace.h
// knows; the format is told by the first line. Errors name the file and the line. Threads: any.
#pragma once

#include <string>

#include "base/result.h"
#include "lab/load/model/trace.h"

namespace fairlead::load {

// At most 1 GiB of text. The trace is named after the file.
Result<Trace> read_trace(const std::string& path);

}  // namespace fairlead::load
