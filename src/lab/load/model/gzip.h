// SPDX-License-Identifier: Apache-2.0
// Inflates a gzip stream held in memory (RFC 1952), as the shipped traces are. The output is
// bounded by `max_bytes`; truncated or corrupt input is an error. Pure; thread-safe. Library: zlib.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fairlead::load {

bool is_gzip(std::string_view data);
Result<std::string> inflate_gzip(std::string_view data, std::size_t max_bytes);

}  // namespace fairlead::load
