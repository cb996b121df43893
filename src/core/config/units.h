// SPDX-License-Identifier: Apache-2.0
// Text forms of durations and byte sizes. Durations are Go's ("1m30s", "1.5h", "0"; units ns, us,
// ms, s, m, h), sizes are Kubernetes quantities without the milli and exponent forms ("65536",
// "64Ki", "1.5Gi", "2M"). What cannot be read is nullopt; what does not fit 63 bits is the largest
// value that does, so that it is refused as too large. Printing is exact: reading the text gives
// the value back. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace fairlead::config {

std::optional<Duration> parse_duration(std::string_view text);
std::string duration_text(Duration duration);

std::optional<std::int64_t> parse_bytes(std::string_view text);
std::string bytes_text(std::int64_t bytes);

}  // namespace fairlead::config
