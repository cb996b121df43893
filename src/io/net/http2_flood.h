// SPDX-License-Identifier: Apache-2.0
// What an HTTP/2 client may do cheaply and at the server's cost, so that it is rationed; a client
// that exceeds its ration loses the connection. Threads: values.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/time.h"

namespace fairlead::net {

enum class Http2Flood : std::uint8_t {
  kResets,        // RST_STREAM, as in CVE-2023-44487.
  kStreamErrors,  // Frames that make the server reset a stream, as in CVE-2025-8671.
  kPings,
  kSettings,
  kEmptyFrames,    // DATA without a byte and without an end.
  kContinuations,  // CVE-2024-28182; also acknowledgements that the client does not take.
};
inline constexpr std::size_t kHttp2FloodCount = 6;
std::string_view to_string(Http2Flood flood);  // snake_case, a metric label.

// A bucket of `burst` events that fills again by `per_second`.
class Http2Ration {
 public:
  Http2Ration(double burst, double per_second, Time now)
      : burst_(burst), per_second_(per_second), credit_(burst), credit_at_(now) {}

  // False when there have been too many.
  bool take(Time now) {
    const double refill = to_seconds(now - std::exchange(credit_at_, now)) * per_second_;
    credit_ = std::min(burst_, credit_ + refill) - 1;
    return credit_ >= 0;
  }

 private:
  double burst_;
  double per_second_;
  double credit_;
  Time credit_at_;
};

}  // namespace fairlead::net
