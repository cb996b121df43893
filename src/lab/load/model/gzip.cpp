// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

namespace fairlead::load {
namespace {

struct Inflater {
  z_stream stream{};
  bool ready = false;

  // 16 asks for a gzip wrapper, whose checksum zlib verifies.
  Inflater() : ready(inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK) {}
  ~Inflater() {
    if (ready) inflateEnd(&stream);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
};

}  // namespace

bool is_gzip(std::string_view data) {
  return data.size() >= 2 && data[0] == '\x1f' && data[1] == '\x8b';
}

Result<std::string> inflate_gzip(std::string_view data, std::size_t max_bytes) {
  if (!is_gzip(data)) {
    return fail(ErrorCode::kInvalidArgument, "not a gzip stream: it does not begin with 1f 8b");
  }
  if (data.size() > std::numeric_limits<uInt>::max()) {
    return fail(ErrorCode::kLimitExceeded, "gzip stream of {} bytes is above 4 GiB", data.size());
  }
  Inflater inflater;
  if (!inflater.ready) return fail(ErrorCode::kInternal, "zlib could not start");
  z_stream& stream = inflater.stream;
  // zlib never writes through next_in; its type lacks the const.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  std::string out;
  int status = Z_OK;
  while (status == Z_OK && out.size() <= max_bytes) {
    const std::size_t used = out.size();
    // One byte above the limit tells a full output from one that is too long.
    const std::size_t chunk = std::min(
        {std::max<std::size_t>(64 << 10, used), max_bytes - used + 1, std::size_t{1} << 30});
    out.resize(used + chunk);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(chunk);
    const uInt offered = stream.avail_out;
    status = inflate(&stream, Z_NO_FLUSH);
    out.resize(used + (offered - stream.avail_out));
  }
  if (out.size() > max_bytes) {
    return fail(ErrorCode::kLimitExceeded, "gzip stream inflates to more than {} bytes", max_bytes);
  }
  if (status == Z_STREAM_END) return out;
  return fail(ErrorCode::kInvalidArgument, "gzip stream is damaged after {} bytes of output: {}",
              out.size(), stream.msg != nullptr ? stream.msg : "it ends early");
}

}  // namespace fairlead::load
