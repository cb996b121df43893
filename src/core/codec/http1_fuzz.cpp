// SPDX-License-Identifier: Apache-2.0
// Differential: whatever the split of the input, heads and bodies must come out the same. The
// first byte chooses what to parse, the second how to split.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "core/codec/http1_body.h"
#include "core/codec/http1_request.h"
#include "core/codec/http1_response.h"

namespace fairlead::codec {
namespace {

constexpr Http1Limits kSmallLimits{
    .head_bytes = 512, .headers = 8, .trailer_bytes = 64, .chunk_extension_bytes = 32};

template <class Parser, class Parse>
void compare_heads(std::string_view input, std::size_t step, Parse parse) {
  Parser whole(kSmallLimits);
  Parser split(kSmallLimits);
  const Http1Progress expected = parse(whole, input);
  Http1Progress progress = Http1Progress::kNeedMore;
  std::string moved;
  for (std::size_t n = 0; progress == Http1Progress::kNeedMore && n < input.size();) {
    n = std::min(n + step, input.size());
    moved = input.substr(0, n);
    progress = parse(split, moved);
  }
  FAIRLEAD_ASSERT(progress == expected && split.error() == whole.error());
  if (expected != Http1Progress::kComplete) return;
  FAIRLEAD_ASSERT(split.head().size == whole.head().size);
  FAIRLEAD_ASSERT(split.head().body == whole.head().body);
  FAIRLEAD_ASSERT(split.head().headers.size() == whole.head().headers.size());
  for (std::size_t i = 0; i < whole.head().headers.size(); ++i) {
    const Http1Header& header = whole.head().headers[i];
    FAIRLEAD_ASSERT(header.name == split.head().headers[i].name);
    FAIRLEAD_ASSERT(header.value == split.head().headers[i].value);
    FAIRLEAD_ASSERT(is_token(header.name) && is_field_value(header.value));
  }
}

struct Walked {
  std::string payload;
  std::size_t consumed = 0;
  Http1Progress status = Http1Progress::kNeedMore;
  Http1Error error = Http1Error::kNone;
};

Walked walk(BodyFraming framing, std::string_view input, std::size_t step) {
  Http1BodyReader reader(kSmallLimits);
  reader.reset(framing);
  Walked result;
  std::vector<std::string_view> pieces;
  while (result.consumed < input.size() && reader.status() == Http1Progress::kNeedMore) {
    pieces.clear();
    const std::size_t taken = reader.walk(input.substr(result.consumed, step), pieces);
    for (const std::string_view piece : pieces) result.payload += piece;
    result.consumed += taken;
  }
  result.status = reader.status();
  result.error = reader.error();
  FAIRLEAD_ASSERT(result.payload.size() == reader.payload_bytes());
  return result;
}

void compare_bodies(BodyFraming framing, std::string_view input, std::size_t step) {
  const Walked whole = walk(framing, input, input.size());
  const Walked split = walk(framing, input, step);
  FAIRLEAD_ASSERT(whole.payload == split.payload && whole.consumed == split.consumed);
  FAIRLEAD_ASSERT(whole.status == split.status && whole.error == split.error);
}

}  // namespace
}  // namespace fairlead::codec

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fairlead::codec;
  if (size < 3) return 0;
  const std::size_t step = 1 + data[1] % 16;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  switch (data[0] % 4) {
    case 0:
      compare_heads<Http1RequestParser>(
          input, step,
          [](Http1RequestParser& parser, std::string_view bytes) { return parser.parse(bytes); });
      break;
    case 1:
      compare_heads<Http1ResponseParser>(input, step,
                                         [](Http1ResponseParser& parser, std::string_view bytes) {
                                           return parser.parse(bytes, ResponseTo::kOther);
                                         });
      break;
    case 2:
      compare_bodies(BodyFraming::chunked(), input, step);
      break;
    default:
      compare_bodies(BodyFraming::of_length(data[1]), input, step);
      break;
  }
  return 0;
}
