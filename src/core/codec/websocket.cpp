// SPDX-License-Identifier: Apache-2.0
#include "core/codec/websocket.h"

#include <algorithm>
#include <array>
#include <bit>

namespace fairlead::codec {
namespace {

constexpr std::string_view kProtocol = "websocket";
constexpr std::string_view kKey = "sec-websocket-key";
constexpr std::string_view kAcceptGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t kKeyBytes = 24;  // 16 bytes in base64.
constexpr std::uint16_t kProtocolError = 1002;
constexpr std::uint16_t kUnsupported = 1003;
constexpr std::uint16_t kTooBig = 1009;

std::uint8_t byte_at(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

std::uint64_t read_big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) value = value << 8 | byte_at(bytes, i);
  return value;
}

void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

// RFC 3174. The handshake needs it to tell a WebSocket server from another, not to keep a secret.
using Sha1 = std::array<std::uint32_t, 5>;

void sha1_block(Sha1& state, std::string_view block) {
  std::array<std::uint32_t, 80> words{};
  for (std::size_t i = 0; i < 16; ++i) {
    words[i] = static_cast<std::uint32_t>(read_big_endian(block.substr(4 * i, 4)));
  }
  for (std::size_t i = 16; i < 80; ++i) {
    words[i] = std::rotl(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
  }
  auto [a, b, c, d, e] = state;
  for (std::size_t i = 0; i < 80; ++i) {
    const std::uint32_t mix = i < 20   ? ((b & c) | (~b & d)) + 0x5A827999U
                              : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1U
                              : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDCU
                                       : (b ^ c ^ d) + 0xCA62C1D6U;
    const std::uint32_t next = std::rotl(a, 5) + mix + e + words[i];
    e = d;
    d = c;
    c = std::rotl(b, 30);
    b = a;
    a = next;
  }
  const Sha1 sum = {a, b, c, d, e};
  for (std::size_t i = 0; i < state.size(); ++i) state[i] += sum[i];
}

std::string sha1(std::string text) {
  const std::uint64_t bits = 8 * text.size();
  text += '\x80';
  text.append((120 - text.size() % 64) % 64, '\0');
  append_big_endian(text, bits, 8);
  Sha1 state = {0x67452301U, 0xEFCDAB89U, 0x98BADCFEU, 0x10325476U, 0xC3D2E1F0U};
  for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(64)) {
    sha1_block(state, rest.substr(0, 64));
  }
  std::string digest;
  for (const std::uint32_t word : state) append_big_endian(digest, word, 4);
  return digest;
}

std::string to_base64(std::string_view bytes) {
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    const std::uint64_t group = read_big_endian(bytes.substr(at, count)) << (8 * (3 - count));
    for (std::size_t digit = 0; digit < 4; ++digit) {
      out += digit <= count ? kBase64[group >> (18 - 6 * digit) & 63] : '=';
    }
  }
  return out;
}

// All values of one name, as a list.
bool any_lists(std::span<const Http1Header> headers, std::string_view name,
               std::string_view token) {
  return std::ranges::any_of(headers, [&](const Http1Header& header) {
    return equals_ignore_case(header.name, name) && list_contains(header.value, token);
  });
}

// Empty unless there is exactly one.
std::string_view only_value(std::span<const Http1Header> headers, std::string_view name) {
  const auto count = std::ranges::count_if(
      headers, [&](const Http1Header& header) { return equals_ignore_case(header.name, name); });
  return count == 1 ? header_value(headers, name) : std::string_view();
}

bool is_key(std::string_view key) {
  return key.size() == kKeyBytes && key.ends_with("==") &&
         key.substr(0, kKeyBytes - 2).find_first_not_of(kBase64) == std::string_view::npos;
}

}  // namespace

bool asks_for_websocket(const Http1RequestHead& head) {
  return any_lists(head.headers, "connection", "upgrade") &&
         any_lists(head.headers, "upgrade", kProtocol);
}

bool mentions_websocket(const Http1RequestHead& head) {
  return find_header(head.headers, kKey) != nullptr ||
         any_lists(head.headers, "upgrade", kProtocol);
}

HandshakeStatus check_handshake(const Http1RequestHead& head) {
  if (head.method != "GET" || head.version != Http1Version::k11 || !asks_for_websocket(head)) {
    return HandshakeStatus::kNotAsked;
  }
  if (only_value(head.headers, "sec-websocket-version") != "13") {
    return HandshakeStatus::kWrongVersion;
  }
  if (!is_key(only_value(head.headers, kKey))) return HandshakeStatus::kBadKey;
  // What follows the head is the WebSocket's, and is taken for nothing else.
  return head.body.kind == BodyKind::kNone ? HandshakeStatus::kOk : HandshakeStatus::kHasBody;
}

std::string websocket_accept(std::string_view key) {
  return to_base64(sha1(std::string(key) + std::string(kAcceptGuid)));
}

bool is_websocket_answer(const Http1ResponseHead& head) {
  return head.version == Http1Version::k11 && any_lists(head.headers, "connection", "upgrade") &&
         equals_ignore_case(only_value(head.headers, "upgrade"), kProtocol);
}

bool accepts_key(const Http1ResponseHead& head, std::string_view key) {
  return only_value(head.headers, "sec-websocket-accept") == websocket_accept(key);
}

FrameRead read_client_frame(std::string_view bytes, std::size_t payload_max,
                            WebSocketFrame& frame) {
  const auto error = [](std::uint16_t code) { return FrameRead{FrameProgress::kError, 0, code}; };
  if (bytes.size() < 2) return {};
  const std::uint8_t first = byte_at(bytes, 0);
  const std::uint8_t second = byte_at(bytes, 1);
  const std::uint8_t kind = first & 0x0F;
  const bool is_control = kind >= 8;
  if ((first & 0x70) != 0 || (second & 0x80) == 0) return error(kProtocolError);
  if (kind > 10 || (kind > 2 && kind < 8)) return error(kProtocolError);
  const std::size_t short_size = second & 0x7F;
  const bool is_whole = (first & 0x80) != 0;
  if (is_control && (!is_whole || short_size > 125)) return error(kProtocolError);
  if (!is_whole || kind == 0) return error(kUnsupported);
  const std::size_t size_bytes = short_size == 126 ? 2 : short_size == 127 ? 8 : 0;
  if (bytes.size() < 2 + size_bytes) return {};
  const std::uint64_t size =
      size_bytes == 0 ? short_size : read_big_endian(bytes.substr(2, size_bytes));
  if (size > payload_max) return error(kTooBig);
  const std::size_t begin = 2 + size_bytes + 4;
  if (bytes.size() < begin + size) return {};
  const std::string_view mask = bytes.substr(begin - 4, 4);
  frame.kind = static_cast<WebSocketFrame::Kind>(kind);
  frame.payload = bytes.substr(begin, static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < frame.payload.size(); ++i) {
    frame.payload[i] = static_cast<char>(frame.payload[i] ^ mask[i % 4]);
  }
  return {FrameProgress::kFrame, begin + static_cast<std::size_t>(size), 0};
}

void append_server_frame(std::string& out, WebSocketFrame::Kind kind, std::string_view payload) {
  out += static_cast<char>(0x80U | static_cast<unsigned>(kind));
  if (payload.size() < 126) {
    out += static_cast<char>(payload.size());
  } else if (payload.size() <= 0xFFFF) {
    out += '\x7E';
    append_big_endian(out, payload.size(), 2);
  } else {
    out += '\x7F';
    append_big_endian(out, payload.size(), 8);
  }
  out += payload;
}

std::string close_payload(std::uint16_t code) {
  std::string out;
  append_big_endian(out, code, 2);
  return out;
}

}  // namespace fairlead::codec
