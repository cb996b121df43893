// SPDX-License-Identifier: Apache-2.0
// Any bytes as a gzip body. The first byte picks the bound. Oracles: the bound is kept; a decoder
// that was used before decides alike, in slices of another size too; and what is accepted is
// accepted again with more room.
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/codec/gzip_body.h"

namespace {

using namespace fairlead::codec;

GzipStatus decode(GzipDecoder& decoder, std::string_view body, const GzipBounds& bounds,
                  std::string& out, std::size_t slice) {
  GzipStatus status = decoder.begin(body, bounds, out);
  while (status == GzipStatus::kMore) status = decoder.step(slice);
  return status;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const GzipBounds bounds{.bytes = std::size_t{1} << (data[0] % 21), .ratio = 50, .small = 512};
  static GzipDecoder used;
  GzipDecoder fresh;
  std::string first;
  std::string second;
  const GzipStatus status = decode(used, body, bounds, first, kWholeBody);
  if (decode(fresh, body, bounds, second, 1 + data[0]) != status) std::abort();
  if (status != GzipStatus::kOk) return 0;
  if (first != second || first.size() > bounds.bytes) std::abort();
  if (first.size() > 512 && first.size() > 50 * body.size()) std::abort();
  if (decode(used, body, {.bytes = std::size_t{1} << 30}, second, kWholeBody) != GzipStatus::kOk)
    std::abort();
  if (first != second) std::abort();
  return 0;
}
