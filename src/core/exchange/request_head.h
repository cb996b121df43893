// SPDX-License-Identifier: Apache-2.0
// The head of a request on its way to an engine, rebuilt from the client's.
//
// Kept as sent: method, target, and every header that is neither hop-by-hop (RFC 9110 §7.6.1) nor
// ours to say. Replaced: Host, Content-Length (the body is forwarded whole and decoded), the
// request id; appended: the client's address to X-Forwarded-For. Removed: Expect, and every header
// with which a client could steer the router, a gateway behind it or an engine's sidecar, because
// only the router decides where a request goes. Where the router asks clients for keys or has one
// of its own for engines, a client's key ends here.
// The trace context is the client's, unless the router has a span of its own to name as parent.
// Threads: pure functions. Allocates only to grow `out`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/codec/http1_request.h"

namespace fairlead::exchange {

// What becomes of the headers that may carry a client's key.
enum class ClientKey : std::uint8_t { kForwarded, kKept };
// A body whose Content-Encoding was undone is plain.
enum class BodyBytes : std::uint8_t { kAsSent, kDecoded };

// What becomes of the client's trace context (core/codec/trace_context.h).
struct TraceHeaders {
  enum class Sent : std::uint8_t { kKept, kDropped };
  Sent parent = Sent::kKept;
  Sent state = Sent::kKept;
  std::string_view own_parent{};  // Empty: none.
};
// Whether the request asks for a WebSocket, which it says without a body.
enum class Protocol : std::uint8_t { kHttp, kWebSocket };

struct ForwardedHead {
  const codec::Http1RequestHead& head;  // The client's.
  std::string_view upstream_authority;  // host:port of the engine.
  std::string_view request_id_header;   // Lower case.
  std::string_view request_id;
  std::string_view client_address;  // Without the port.
  std::uint64_t body_bytes = 0;
  ClientKey client_key = ClientKey::kForwarded;
  std::string_view authorization{};  // The router's own; empty: none.
  BodyBytes body = BodyBytes::kAsSent;
  TraceHeaders trace{};
  Protocol protocol = Protocol::kHttp;
};

// Replaces `out`.
void write_request_head(const ForwardedHead& forwarded, std::string& out);

// Whether a client may not send this header through the router.
bool is_routing_header(std::string_view name);

// A client's request id is kept when it is short, printable ASCII; else a new one is made.
bool is_request_id(std::string_view text);
// Replaces `out` by a version 4 UUID from these random bits (RFC 9562 §5.4).
void make_request_id(std::uint64_t high, std::uint64_t low, std::string& out);

}  // namespace fairlead::exchange
