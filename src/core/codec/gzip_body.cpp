// SPDX-License-Identifier: Apache-2.0
#include "core/codec/gzip_body.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

namespace fairlead::codec {
namespace {

// zlib counts in unsigned int.
constexpr std::size_t kPieceMax = std::size_t{1} << 30;
// 15 bits of window; + 16: a gzip header is required.
constexpr int kGzipWindow = 15 + 16;
constexpr std::size_t kFirstBytes = std::size_t{4} << 10;

std::size_t allowed_bytes(std::size_t encoded, const GzipBounds& bounds) {
  const std::size_t most = std::numeric_limits<std::size_t>::max();
  const std::size_t by_ratio = encoded > most / bounds.ratio ? most : encoded * bounds.ratio;
  return std::min(bounds.bytes, std::max(by_ratio, bounds.small));
}

}  // namespace

BodyCoding body_coding(std::span<const Http1Header> headers) {
  BodyCoding found = BodyCoding::kIdentity;
  for (const Http1Header& header : headers) {
    if (!equals_ignore_case(header.name, "content-encoding")) continue;
    if (header.value.empty() || equals_ignore_case(header.value, "identity")) continue;
    const bool gzip =
        equals_ignore_case(header.value, "gzip") || equals_ignore_case(header.value, "x-gzip");
    if (!gzip || found != BodyCoding::kIdentity) return BodyCoding::kOther;
    found = BodyCoding::kGzip;
  }
  return found;
}

struct GzipDecoder::State {
  z_stream stream{};
  bool ready = false;  // inflateInit2() succeeded.
};

GzipDecoder::GzipDecoder() : state_(std::make_unique<State>()) {}

GzipDecoder::~GzipDecoder() {
  if (state_->ready) inflateEnd(&state_->stream);
}

GzipStatus GzipDecoder::decode(std::string_view body, const GzipBounds& bounds, std::string& out) {
  z_stream& stream = state_->stream;
  const int begun = state_->ready ? inflateReset(&stream) : inflateInit2(&stream, kGzipWindow);
  if (begun != Z_OK) return GzipStatus::kNoMemory;
  state_->ready = true;
  const std::size_t allowed = allowed_bytes(body.size(), bounds);
  out.clear();
  std::size_t used = 0;
  std::size_t size = 0;
  for (;;) {
    // One byte more than allowed, to tell a body that ends there from one that goes on.
    if (size == out.size()) out.resize(std::min(std::max(2 * size, kFirstBytes), allowed + 1));
    const std::size_t in = std::min(body.size() - used, kPieceMax);
    const std::size_t room = std::min(out.size() - size, kPieceMax);
    // zlib's interface is older than const.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data() + used));
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + size);
    stream.avail_out = static_cast<uInt>(room);
    const int status = inflate(&stream, Z_NO_FLUSH);
    used += in - stream.avail_in;
    size += room - stream.avail_out;
    if (size > allowed) return GzipStatus::kTooLarge;
    if (status == Z_MEM_ERROR) return GzipStatus::kNoMemory;
    if (status == Z_STREAM_END) {
      if (used == body.size()) break;
      if (inflateReset(&stream) != Z_OK) return GzipStatus::kNoMemory;
      continue;
    }
    // Z_BUF_ERROR: nothing could be done, so the body ends too soon; there was room.
    if (status != Z_OK) return GzipStatus::kMalformed;
  }
  out.resize(size);
  return GzipStatus::kOk;
}

}  // namespace fairlead::codec
