// SPDX-License-Identifier: Apache-2.0
#include "io/net/http2_flood.h"

namespace fairlead::net {

std::string_view to_string(Http2Flood flood) {
  switch (flood) {
    case Http2Flood::kResets:
      return "resets";
    case Http2Flood::kStreamErrors:
      return "stream_errors";
    case Http2Flood::kPings:
      return "pings";
    case Http2Flood::kSettings:
      return "settings";
    case Http2Flood::kEmptyFrames:
      return "empty_frames";
    case Http2Flood::kContinuations:
      return "continuations";
  }
  return "unknown";
}

}  // namespace fairlead::net
