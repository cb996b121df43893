// SPDX-License-Identifier: Apache-2.0
// CORS: which web pages may call the gateway from a browser. The router answers preflight requests
// itself and adds the headers to every answer; what an engine says about origins is dropped then.
// Credentials mode is not offered, since clients send keys in headers, which needs none.
// Threads: pure functions. Source: WHATWG Fetch, "CORS protocol".
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/http1_request.h"

namespace fairlead::exchange {

// The value of Access-Control-Allow-Origin for this request: "*", the request's own origin, or
// empty when its origin is not among `allowed`, or it has none. A view into one of the arguments.
std::string_view allowed_origin(std::span<const std::string> allowed,
                                std::span<const codec::Http1Header> headers);

// Whether a browser asks what it may send.
bool is_preflight(const codec::Http1RequestHead& head);

// The headers of an ordinary answer; none when the origin is empty.
class CorsHeaders {
 public:
  explicit CorsHeaders(std::string_view origin);
  const codec::Http1Header* begin() const { return list_.data(); }
  const codec::Http1Header* end() const { return list_.data() + count_; }

 private:
  std::array<codec::Http1Header, 3> list_;
  std::size_t count_ = 0;
};

// Of the answer to a preflight request. Views into `headers`, the request's.
void append_preflight(std::string_view origin, std::span<const codec::Http1Header> headers,
                      codec::Http1Headers& out);

// Whether this header of an engine's answer is the router's to say.
bool is_cors_header(std::string_view name);

}  // namespace fairlead::exchange
