// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/realtime.h"

#include <gtest/gtest.h>

#include <string>

#include "io/net/testing/loop_fixture.h"
#include "lab/engine/testing/engine_fixture.h"

namespace fairlead::engine {
namespace {

using net::testing::RawClient;
using namespace std::string_literals;

class RealtimeTest : public EngineFixture {
 protected:
  void open() {
    start();
    socket_ = std::make_unique<RawClient>(*loop_, net::SocketAddress::loopback(port_));
    socket_->send(
        "GET /v1/realtime HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    ASSERT_TRUE(until("session.created"));
    const std::string head = socket_->take();
    EXPECT_TRUE(head.starts_with("HTTP/1.1 101 ")) << head;
    EXPECT_NE(head.find("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
              std::string::npos);
  }
  // A frame masked by zeros, which leave the payload as it is.
  void send(int kind, std::string_view payload) {
    std::string frame{static_cast<char>(0x80 | kind), static_cast<char>(0x80 | payload.size())};
    socket_->send(frame + std::string(4, '\0') + std::string(payload));
  }
  bool until(std::string_view part) {
    return client_->wait([&] { return socket_->received().find(part) != std::string::npos; });
  }
  int count(std::string_view part) const {
    int found = 0;
    const std::string& text = socket_->received();
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
  }

  std::unique_ptr<RawClient> socket_;
};

TEST_F(RealtimeTest, ATextIsAnsweredByAsManyWordsInModelTime) {
  options_.profile.step_floor_s = 0.002;
  open();
  const Time begin = loop_->now();
  send(1, R"({"type":"session.update","model":"tiny"})");
  send(1, "twelve bytes");
  ASSERT_TRUE(until("response.done"));
  EXPECT_EQ(count("session.updated"), 1);
  EXPECT_EQ(count("response.text.delta"), 3);
  EXPECT_GE(loop_->now() - begin, std::chrono::milliseconds(6));
  send(1, R"({"type":"session.update","model":"huge"})");
  ASSERT_TRUE(until("model_not_found"));
  send(9, "still there?");
  ASSERT_TRUE(until("\x8A\x0Cstill there?"s));
  send(8, "\x03\xE8"s);
  ASSERT_TRUE(until("\x88\x02\x03\xE8"s));
  EXPECT_TRUE(client_->wait([&] { return socket_->ended(); }));
}

TEST_F(RealtimeTest, WhatBreaksTheProtocolEndsWithItsCloseCode) {
  open();
  socket_->send("\x81\x01x");  // Not masked.
  EXPECT_TRUE(until("\x88\x02\x03\xEA"s));
  EXPECT_TRUE(client_->wait([&] { return socket_->ended(); }));
}

TEST_F(RealtimeTest, ACrashResetsAndAShutdownSaysGoodbye) {
  open();
  fault(R"({"kind":"crash","duration_s":0.01})");
  EXPECT_TRUE(client_->wait([&] { return socket_->was_reset(); }));
  open();
  bool drained = false;
  fleet_->drain([&] { drained = true; });
  EXPECT_TRUE(until("\x88\x02\x03\xE9"s));
  socket_->close();
  client_->forget_connections();
  EXPECT_TRUE(client_->wait([&] { return drained; }));
}

TEST_F(RealtimeTest, OtherRequestsAreTold) {
  start();
  EXPECT_EQ(client_->get(port_, "/v1/realtime").status, 426);
}

}  // namespace
}  // namespace fairlead::engine
