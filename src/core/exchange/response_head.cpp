// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/response_head.h"

#include "base/assert.h"
#include "core/exchange/cors.h"
#include "core/exchange/session_token.h"

namespace fairlead::exchange {
namespace {

constexpr std::string_view kOwnPrefix = "x-fairlead-";

bool is_dropped(std::string_view name, const codec::Http1ResponseHead& head,
                const ResponseOrigin& origin) {
  return codec::equals_ignore_case(name, "content-length") ||
         codec::equals_ignore_case(name, kSessionTokenHeader) ||
         codec::equals_ignore_case(name.substr(0, kOwnPrefix.size()), kOwnPrefix) ||
         codec::equals_ignore_case(name, origin.request_id_header) ||
         (!origin.allow_origin.empty() && is_cors_header(name)) ||
         codec::is_hop_by_hop(name, head.headers);
}

}  // namespace

void ResponseHead::add(std::string_view name, std::string_view value) {
  // hold() reserved for all of them, so earlier views stay valid.
  FAIRLEAD_DEBUG_ASSERT(text_.size() + name.size() + value.size() <= text_.capacity());
  const std::size_t begin = text_.size();
  text_ += name;
  text_ += value;
  const std::string_view all = text_;
  headers_.push_back({all.substr(begin, name.size()), all.substr(begin + name.size())});
}

void ResponseHead::hold(const codec::Http1ResponseHead& head, const ResponseOrigin& origin) {
  clear();
  status_ = head.status;
  body_ = head.body;
  std::size_t bytes = kEndpointHeader.size() + origin.endpoint_name.size() +
                      kSessionTokenHeader.size() + origin.session_token.size() +
                      origin.request_id_header.size() + origin.request_id.size();
  for (const codec::Http1Header& header : head.headers) {
    bytes += header.name.size() + header.value.size();
  }
  const CorsHeaders cors(origin.allow_origin);
  for (const codec::Http1Header& header : cors) bytes += header.name.size() + header.value.size();
  text_.reserve(bytes);
  for (const codec::Http1Header& header : head.headers) {
    if (!is_dropped(header.name, head, origin)) add(header.name, header.value);
  }
  add(origin.request_id_header, origin.request_id);
  add(kEndpointHeader, origin.endpoint_name);
  add(kSessionTokenHeader, origin.session_token);
  for (const codec::Http1Header& header : cors) add(header.name, header.value);
}

void ResponseHead::clear() {
  status_ = 0;
  body_ = {};
  text_.clear();
  headers_.clear();
}

}  // namespace fairlead::exchange
