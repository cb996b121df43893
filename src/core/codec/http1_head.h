// SPDX-License-Identifier: Apache-2.0
// What request and response heads have in common: finding a head's end without rescanning, and
// its header lines (RFC 9112 §2.2, §5, §6). Used by http1_request and http1_response only.
// Threads: thread-compatible. Sans I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/codec/http1.h"

namespace fairlead::codec {

// Finds the empty line that ends a head. Errors that it can see (a bare LF, a first byte that
// begins no HTTP message, too many bytes) come before the head is whole.
class Http1HeadScanner {
 public:
  [[nodiscard]] Http1Progress scan(std::string_view bytes, const Http1Limits& limits);
  Http1Error error() const { return error_; }
  // After kComplete: bytes of the head with its empty line, and where its start line begins (2
  // when one empty line came first, RFC 9112 §2.2).
  std::size_t size() const { return next_; }
  std::size_t begin() const { return begin_; }
  void reset() { *this = {}; }

 private:
  Http1Progress refuse(Http1Error error);

  std::size_t begin_ = 0;
  std::size_t next_ = 0;  // Everything before is scanned.
  std::size_t line_ = 0;  // Where the current line begins.
  bool start_line_done_ = false;
  Http1Error error_ = Http1Error::kNone;
};

// The lines of a head, taken off one by one; every line ends in CR LF, as the scanner saw to it.
std::string_view take_line(std::string_view& head);

// One "name: value" line.
Http1Error parse_field_line(std::string_view line, Http1Header& header);
Http1Error parse_fields(std::string_view lines, const Http1Limits& limits, Http1Headers& headers);
Http1Error parse_version(std::string_view text, Http1Version& version);

// The fields that decide framing and persistence, gathered in one pass.
struct Http1FramingFields {
  bool has_length = false;
  bool chunked = false;
  std::uint64_t length = 0;
  bool connection_close = false;
  bool connection_keep_alive = false;
  std::uint32_t connection_options = 0;  // Named in Connection headers, about.
};
Http1Error gather_framing(const Http1Headers& headers, Http1Version version,
                          Http1FramingFields& fields);

}  // namespace fairlead::codec
