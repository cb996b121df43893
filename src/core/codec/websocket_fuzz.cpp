// SPDX-License-Identifier: Apache-2.0
// Frames of a hostile client: each is read to its end, refused, or waits for more; and a part of a
// frame is never taken for a whole one.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "core/codec/websocket.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fairlead::codec;
  constexpr std::size_t kPayloadMax = 200;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  WebSocketFrame frame;
  for (;;) {
    const FrameRead read = read_client_frame(rest, kPayloadMax, frame);
    if (read.progress == FrameProgress::kError) FAIRLEAD_ASSERT(read.close_code >= 1002);
    if (read.progress != FrameProgress::kFrame) return 0;
    FAIRLEAD_ASSERT(read.consumed >= 6 && read.consumed <= rest.size());
    FAIRLEAD_ASSERT(frame.payload.size() <= kPayloadMax);
    WebSocketFrame part;
    const FrameRead cut = read_client_frame(rest.substr(0, read.consumed - 1), kPayloadMax, part);
    FAIRLEAD_ASSERT(cut.progress == FrameProgress::kNeedMore);
    rest.remove_prefix(read.consumed);
  }
}
