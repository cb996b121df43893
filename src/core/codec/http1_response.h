// SPDX-License-Identifier: Apache-2.0
// Http1ResponseParser: a response head from bytes, with the body framing of RFC 9112 §6.3.
//
// Used like Http1RequestParser. As strict about framing as requests are: a response that sends
// both Content-Length and Transfer-Encoding, or two lengths, is refused, because a shared upstream
// connection would otherwise deliver one client's answer to another.
// Threads: thread-compatible. Sans I/O.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/codec/http1.h"
#include "core/codec/http1_head.h"

namespace fairlead::codec {

struct Http1ResponseHead {
  int status = 0;
  std::string_view reason;
  Http1Version version = Http1Version::k11;
  Http1Headers headers;
  BodyFraming body;
  bool keep_alive = true;  // The connection can carry another request after this response.
  std::size_t size = 0;    // Bytes of the head, the empty line included.

  // 100, 103 and the like: a final response follows. 101 is final.
  bool interim() const { return status < 200 && status != 101; }
};

// A response to HEAD has no body whatever its headers say. 101 answers only who asked for a
// WebSocket, and all that follows it is raw bytes until the close.
enum class ResponseTo : std::uint8_t { kOther, kHead, kWebSocket };

class Http1ResponseParser {
 public:
  explicit Http1ResponseParser(const Http1Limits& limits = {}) : limits_(limits) {}

  [[nodiscard]] Http1Progress parse(std::string_view bytes, ResponseTo request);
  const Http1ResponseHead& head() const { return head_; }
  Http1Error error() const { return error_; }
  void reset();

 private:
  Http1Error parse_status_line(std::string_view line, ResponseTo request);
  Http1Error check_fields(ResponseTo request);

  Http1Limits limits_;
  Http1HeadScanner scanner_;
  Http1ResponseHead head_;
  Http1Error error_ = Http1Error::kNone;
};

}  // namespace fairlead::codec
