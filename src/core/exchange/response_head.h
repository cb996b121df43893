// SPDX-License-Identifier: Apache-2.0
// ResponseHead: an engine's response head, rewritten for the client and held until its first body
// bytes are there. Until then nothing was sent, so a try that dies between head and first token
// can still be made elsewhere.
//
// Removed: hop-by-hop headers, Content-Length (the server that writes the head frames the body)
// and x-fairlead-*, which only the router may say. Added: x-fairlead-endpoint, x-session-token and
// the request id, and where a web page may read the answer the headers of cors.h.
// Threads: thread-compatible. Owns its memory, and reuses it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/codec/http1_response.h"

namespace fairlead::exchange {

inline constexpr std::string_view kEndpointHeader = "x-fairlead-endpoint";
inline constexpr std::string_view kReasonHeader = "x-fairlead-reason";

struct ResponseOrigin {
  std::string_view endpoint_name;
  std::string_view session_token;
  std::string_view request_id_header;  // Lower case.
  std::string_view request_id;
  std::string_view allow_origin{};  // Of cors.h; empty: the engine's headers stand.
};

class ResponseHead {
 public:
  // Copies what it needs.
  void hold(const codec::Http1ResponseHead& head, const ResponseOrigin& origin);
  void clear();

  bool held() const { return status_ != 0; }
  int status() const { return status_; }
  codec::BodyFraming body() const { return body_; }
  // Views into this object, valid until the next hold() or clear().
  std::span<const codec::Http1Header> headers() const { return headers_; }

 private:
  void add(std::string_view name, std::string_view value);

  int status_ = 0;
  codec::BodyFraming body_;
  std::string text_;
  codec::Http1Headers headers_;
};

}  // namespace fairlead::exchange
