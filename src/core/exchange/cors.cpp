// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/cors.h"

namespace fairlead::exchange {
namespace {

constexpr std::string_view kPrefix = "access-control-";
constexpr std::string_view kAny = "*";
// Of our own headers, what a page may read beyond the few that it always may.
constexpr std::string_view kExposed =
    "x-request-id, x-session-token, x-fairlead-endpoint, x-fairlead-reason, retry-after";

}  // namespace

std::string_view allowed_origin(std::span<const std::string> allowed,
                                std::span<const codec::Http1Header> headers) {
  if (allowed.empty()) return {};
  const std::string_view origin = codec::header_value(headers, "origin");
  if (origin.empty()) return {};
  for (const std::string& one : allowed) {
    if (one == kAny) return kAny;
    if (one == origin) return one;
  }
  return {};
}

bool is_preflight(const codec::Http1RequestHead& head) {
  return head.method == "OPTIONS" &&
         codec::find_header(head.headers, "access-control-request-method") != nullptr;
}

CorsHeaders::CorsHeaders(std::string_view origin)
    : list_{{{"access-control-allow-origin", origin},
             {"access-control-expose-headers", kExposed},
             {"vary", "origin"}}} {
  // With Vary, a cache does not hand one origin's answer to another.
  if (!origin.empty()) count_ = origin == kAny ? 2 : 3;
}

void append_preflight(std::string_view origin, std::span<const codec::Http1Header> headers,
                      codec::Http1Headers& out) {
  out.push_back({"access-control-allow-origin", origin});
  out.push_back({"access-control-allow-methods", "GET, POST"});
  // Clients send headers of their own, and "*" would not stand for Authorization.
  const std::string_view asked = codec::header_value(headers, "access-control-request-headers");
  if (!asked.empty()) out.push_back({"access-control-allow-headers", asked});
  out.push_back({"access-control-max-age", "600"});
  out.push_back({"vary", "origin, access-control-request-headers"});
}

bool is_cors_header(std::string_view name) {
  return codec::equals_ignore_case(name.substr(0, kPrefix.size()), kPrefix);
}

}  // namespace fairlead::exchange
