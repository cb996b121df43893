// SPDX-License-Identifier: Apache-2.0
#include "core/codec/websocket.h"

#include <gtest/gtest.h>

#include <string>

namespace fairlead::codec {
namespace {

using Kind = WebSocketFrame::Kind;
using namespace std::string_literals;

constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";

HandshakeStatus status_of(const std::string& head) {
  Http1RequestParser parser;
  EXPECT_EQ(parser.parse(head), Http1Progress::kComplete) << head;
  return check_handshake(parser.head());
}

std::string handshake(std::string_view more = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                      std::string_view line = "GET /v1/realtime HTTP/1.1",
                      std::string_view version = "13") {
  return std::string(line) +
         "\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket" +
         "\r\nSec-WebSocket-Version: " + std::string(version) + "\r\n" + std::string(more) + "\r\n";
}

std::string masked(std::string_view head, std::string_view payload) {
  std::string out(head);
  const std::string mask = "\x01\x80\x37\xFF"s;
  out += mask;
  for (std::size_t i = 0; i < payload.size(); ++i) {
    out += static_cast<char>(payload[i] ^ mask[i % 4]);
  }
  return out;
}

TEST(WebSocketHandshake, AcceptIsThatOfTheStandard) {
  EXPECT_EQ(websocket_accept(kKey), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");  // RFC 6455 section 1.3.
}

TEST(WebSocketHandshake, EachRequirementIsChecked) {
  EXPECT_EQ(status_of(handshake()), HandshakeStatus::kOk);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), HandshakeStatus::kNotAsked);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n"),
            HandshakeStatus::kNotAsked)
      << "Connection does not name it";
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
            HandshakeStatus::kNotAsked);
  EXPECT_EQ(status_of(handshake("", "POST / HTTP/1.1")), HandshakeStatus::kNotAsked);
  EXPECT_EQ(status_of(handshake("", "GET / HTTP/1.0")), HandshakeStatus::kNotAsked);
  EXPECT_EQ(status_of(handshake("", "GET / HTTP/1.1", "8")), HandshakeStatus::kWrongVersion);
  EXPECT_EQ(status_of(handshake("Sec-WebSocket-Version: 13\r\n")), HandshakeStatus::kWrongVersion)
      << "twice";
  const std::string key = "Sec-WebSocket-Key: " + std::string(kKey) + "\r\n";
  for (const std::string& bad : {""s, key + key, "Sec-WebSocket-Key: short\r\n"s,
                                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n"s}) {
    EXPECT_EQ(status_of(handshake(bad)), HandshakeStatus::kBadKey) << bad;
  }
  EXPECT_EQ(status_of(handshake(key + "Content-Length: 3\r\n")), HandshakeStatus::kHasBody);
  EXPECT_EQ(status_of(handshake(key + "Transfer-Encoding: chunked\r\n")),
            HandshakeStatus::kHasBody);
}

TEST(WebSocketFrames, AMaskedFrameIsReadWhateverItsPieces) {
  for (const std::size_t size : {0U, 1U, 125U, 126U, 70'000U}) {
    const std::string payload(size, 'x');
    std::string server;
    append_server_frame(server, Kind::kText, payload);
    std::string head = server.substr(0, server.size() - size);
    head[1] = static_cast<char>(head[1] | 0x80);
    const std::string bytes = masked(head, payload);
    WebSocketFrame frame;
    for (std::size_t part = 0; part < std::min<std::size_t>(bytes.size(), 20); ++part) {
      EXPECT_EQ(read_client_frame(bytes.substr(0, part), 100'000, frame).progress,
                FrameProgress::kNeedMore);
    }
    const FrameRead read = read_client_frame(bytes + "more", 100'000, frame);
    ASSERT_EQ(read.progress, FrameProgress::kFrame) << size;
    EXPECT_EQ(read.consumed, bytes.size());
    EXPECT_EQ(frame.kind, Kind::kText);
    EXPECT_EQ(frame.payload, payload);
  }
}

TEST(WebSocketFrames, WhatBreaksTheProtocolHasItsCloseCode) {
  const std::pair<std::string, std::uint16_t> cases[] = {
      {"\x81\x01x"s, 1002},                                 // Not masked.
      {"\xC1\x80"s, 1002},                                  // A reserved bit.
      {"\x83\x80"s, 1002},                                  // A reserved kind.
      {"\x8B\x80"s, 1002},                                  //
      {"\x09\x80"s, 1002},                                  // A control frame in pieces.
      {"\x89\xFE"s, 1002},                                  // One that is too long.
      {"\x01\x80"s, 1003},                                  // A fragment.
      {"\x80\x80"s, 1003},                                  //
      {"\x81\xFF\x00\x00\x00\x00\x00\x01\x00\x00"s, 1009},  // Too big, said in advance.
      {"\x81\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s, 1009}};
  for (const auto& [bytes, code] : cases) {
    WebSocketFrame frame;
    const FrameRead read = read_client_frame(bytes, 1000, frame);
    EXPECT_EQ(read.progress, FrameProgress::kError);
    EXPECT_EQ(read.close_code, code);
  }
}

TEST(WebSocketAnswer, A101IsReadOnlyWhereItWasAskedFor) {
  const std::string answer =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbytes";
  Http1ResponseParser asked;
  ASSERT_EQ(asked.parse(answer, ResponseTo::kWebSocket), Http1Progress::kComplete);
  EXPECT_EQ(asked.head().body, BodyFraming::until_close());
  EXPECT_FALSE(asked.head().keep_alive);
  Http1ResponseParser other;
  EXPECT_EQ(other.parse(answer, ResponseTo::kOther), Http1Progress::kError);
  Http1ResponseParser elsewhere;
  EXPECT_EQ(elsewhere.parse("HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
                            ResponseTo::kWebSocket),
            Http1Progress::kError);
}

TEST(WebSocketAnswer, FitsTheKeyThatItAnswers) {
  const auto answer = [](const std::string& more) {
    Http1ResponseParser parser;
    const std::string head =
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + more + "\r\n";
    EXPECT_EQ(parser.parse(head, ResponseTo::kWebSocket), Http1Progress::kComplete) << more;
    return accepts_key(parser.head(), kKey);
  };
  const std::string accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
  EXPECT_TRUE(answer(accept));
  EXPECT_FALSE(answer(""));
  EXPECT_FALSE(answer(accept + accept));
  EXPECT_FALSE(answer("Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
}

TEST(WebSocketHandshake, HalfOfOneIsAMention) {
  const auto mentions = [](const std::string& more) {
    Http1RequestParser parser;
    const std::string head = "GET / HTTP/1.1\r\nHost: h\r\n" + more + "\r\n";
    EXPECT_EQ(parser.parse(head), Http1Progress::kComplete);
    return mentions_websocket(parser.head());
  };
  EXPECT_TRUE(mentions("Upgrade: h2c, WebSocket\r\n"));
  EXPECT_TRUE(mentions("Sec-WebSocket-Key: x\r\n"));
  EXPECT_FALSE(mentions("Connection: Upgrade\r\nUpgrade: h2c\r\n"));
}

}  // namespace
}  // namespace fairlead::codec
