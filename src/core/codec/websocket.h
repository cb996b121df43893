// SPDX-License-Identifier: Apache-2.0
// WebSocket (RFC 6455): the opening handshake, and frames one at a time. The gateway needs the
// former only, as it relays bytes; the simulated engine is a server and reads frames.
//
// Errors: HandshakeStatus; a frame that breaks the protocol has the close code to answer with.
// Omitted: extensions, fragments (a server may refuse them by policy). Threads: values. Sans I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/codec/http1_request.h"
#include "core/codec/http1_response.h"

namespace fairlead::codec {

// Whether a client wants to leave HTTP/1.1 for a WebSocket: Connection and Upgrade say so.
bool asks_for_websocket(const Http1RequestHead& head);
// Whether it may have meant to, so that what it sent behind the head may be no HTTP.
bool mentions_websocket(const Http1RequestHead& head);

enum class HandshakeStatus : std::uint8_t {
  kOk,
  kNotAsked,      // No WebSocket, or not by GET over HTTP/1.1.
  kWrongVersion,  // Sec-WebSocket-Version is not 13, or not there once.
  kBadKey,        // Sec-WebSocket-Key is not 16 bytes in base64, or not there once.
  kHasBody,
};
HandshakeStatus check_handshake(const Http1RequestHead& head);
// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::string websocket_accept(std::string_view key);
// Whether a 101 is what `asks_for_websocket` asked for.
bool is_websocket_answer(const Http1ResponseHead& head);
// Whether it is by somebody who read this Sec-WebSocket-Key, and not by one who answers so to all.
bool accepts_key(const Http1ResponseHead& head, std::string_view key);

struct WebSocketFrame {
  enum class Kind : std::uint8_t { kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };
  Kind kind = Kind::kText;
  std::string payload;  // Unmasked.
};

enum class FrameProgress : std::uint8_t { kNeedMore, kFrame, kError };

// The next frame of a client, whole and masked, from the front of `bytes`.
struct FrameRead {
  FrameProgress progress = FrameProgress::kNeedMore;
  std::size_t consumed = 0;
  std::uint16_t close_code = 0;  // kError: 1002 protocol, 1003 unsupported, 1009 too big.
};
FrameRead read_client_frame(std::string_view bytes, std::size_t payload_max, WebSocketFrame& frame);
// Of a server: whole and not masked.
void append_server_frame(std::string& out, WebSocketFrame::Kind kind, std::string_view payload);
// The payload of a close frame.
std::string close_payload(std::uint16_t code);

}  // namespace fairlead::codec
