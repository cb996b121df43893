// SPDX-License-Identifier: Apache-2.0
// Http1RequestParser: a request head from bytes, strict and without copying (RFC 9112 §3, §5, §6).
//
// Give parse() the same head again and again while it grows; earlier bytes are not scanned twice.
// After kComplete, head() holds views into the bytes of that last call, valid as long as those
// bytes stay where they are. Whatever the split of the input, the outcome is the same.
// Threads: thread-compatible. Sans I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/codec/http1.h"
#include "core/codec/http1_head.h"

namespace fairlead::codec {

struct Http1RequestHead {
  std::string_view method;
  std::string_view target;  // As sent: "/path?query", "http://host/path", "*" or "host:port".
  Http1Version version = Http1Version::k11;
  Http1Headers headers;   // In order, names as sent.
  std::string_view host;  // Empty when an HTTP/1.0 request has none.
  BodyFraming body;       // kNone, kLength or kChunked.
  bool keep_alive = true;
  bool expect_continue = false;  // The client waits for 100 (Continue) before its body.
  std::size_t size = 0;          // Bytes of the head, the empty line included.

  // The target without its query; of an absolute target, the part from the path on.
  std::string_view path() const;
  std::string_view query() const;  // After '?', or empty.
};

// What every version of HTTP demands of a method and a target, and of a Host or :authority value.
Http1Error check_request_line(std::string_view method, std::string_view target);
bool is_authority(std::string_view text);

class Http1RequestParser {
 public:
  explicit Http1RequestParser(const Http1Limits& limits = {}) : limits_(limits) {}

  // `bytes` begins at the head's first byte and may run past its end.
  [[nodiscard]] Http1Progress parse(std::string_view bytes);
  const Http1RequestHead& head() const { return head_; }
  Http1Error error() const { return error_; }
  // Forgets the message; keeps the memory of its headers.
  void reset();

 private:
  Http1Error parse_start_line(std::string_view line);
  Http1Error check_fields();

  Http1Limits limits_;
  Http1HeadScanner scanner_;
  Http1RequestHead head_;
  Http1Error error_ = Http1Error::kNone;
};

}  // namespace fairlead::codec
