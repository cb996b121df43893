// SPDX-License-Identifier: Apache-2.0
// Any bytes as a gzip body. The first byte picks the bound. Oracles: the bound is kept; a decoder
// that was used before decides alike; and what is accepted is accepted again with more room.
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/codec/gzip_body.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace fairlead::codec;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const GzipBounds bounds{.bytes = std::size_t{1} << (data[0] % 21), .ratio = 50, .small = 512};
  static GzipDecoder used;
  GzipDecoder fresh;
  std::string first;
  std::string second;
  const GzipStatus status = used.decode(body, bounds, first);
  if (fresh.decode(body, bounds, second) != status) std::abort();
  if (status != GzipStatus::kOk) return 0;
  if (first != second || first.size() > bounds.bytes) std::abort();
  if (first.size() > 512 && first.size() > 50 * body.size()) std::abort();
  if (used.decode(body, {.bytes = std::size_t{1} << 30}, second) != GzipStatus::kOk) std::abort();
  if (first != second) std::abort();
  return 0;
}
