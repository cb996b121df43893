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
  std::string_view body;
  std::string* out = nullptr;
  std::size_t allowed = 0;
  std::size_t used = 0;  // Of body.
  std::size_t size = 0;  // Of out, decoded.
};

GzipDecoder::GzipDecoder() : state_(std::make_unique<State>()) {}

GzipDecoder::~GzipDecoder() {
  if (state_->ready) inflateEnd(&state_->stream);
}

GzipStatus GzipDecoder::begin(std::string_view body, const GzipBounds& bounds, std::string& out) {
  State& at = *state_;
  const int begun = at.ready ? inflateReset(&at.stream) : inflateInit2(&at.stream, kGzipWindow);
  if (begun != Z_OK) return GzipStatus::kNoMemory;
  at.ready = true;
  at.body = body;
  at.out = &out;
  at.allowed = allowed_bytes(body.size(), bounds);
  at.used = at.size = 0;
  out.clear();
  return GzipStatus::kMore;
}

GzipStatus GzipDecoder::step(std::size_t bytes_max) {
  State& at = *state_;
  z_stream& stream = at.stream;
  std::string& out = *at.out;
  const auto ahead = [bytes_max](std::size_t from) {
    return bytes_max > kWholeBody - from ? kWholeBody : from + bytes_max;
  };
  const std::size_t end = ahead(at.size);
  // Of the body too, as there may be members and blocks without a byte in them.
  const std::size_t used_end = std::min(ahead(at.used), at.body.size());
  while (at.size < end && (at.used < used_end || used_end == at.body.size())) {
    // One byte more than allowed, to tell a body that ends there from one that goes on.
    if (at.size == out.size()) {
      out.resize(std::min(std::max(2 * at.size, kFirstBytes), at.allowed + 1));
    }
    const std::size_t in = std::min(used_end - at.used, kPieceMax);
    const std::size_t room = std::min(std::min(out.size(), end) - at.size, kPieceMax);
    // zlib's interface is older than const.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(at.body.data() + at.used));
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + at.size);
    stream.avail_out = static_cast<uInt>(room);
    const int status = inflate(&stream, Z_NO_FLUSH);
    at.used += in - stream.avail_in;
    at.size += room - stream.avail_out;
    if (at.size > at.allowed) return GzipStatus::kTooLarge;
    if (status == Z_MEM_ERROR) return GzipStatus::kNoMemory;
    if (status == Z_STREAM_END) {
      if (at.used == at.body.size()) {
        out.resize(at.size);
        return GzipStatus::kOk;
      }
      if (inflateReset(&stream) != Z_OK) return GzipStatus::kNoMemory;
      continue;
    }
    // Z_BUF_ERROR: nothing could be done, so the body ends too soon; there was room.
    if (status != Z_OK) return GzipStatus::kMalformed;
  }
  return GzipStatus::kMore;
}

}  // namespace fairlead::codec
