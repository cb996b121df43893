// SPDX-License-Identifier: Apache-2.0
// TunnelTest: the gateway before one engine that speaks bytes, for tests of WebSockets.
// Errors: gtest failures. Threads: one.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {

inline const std::string kSwitch =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

// One connection of an engine that speaks bytes: what came, and whatever a test sends.
class ByteEngine final : public RawPeer {
 public:
  ByteEngine() {
    auto listener = net::listen_tcp(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
    EXPECT_TRUE(listener.has_value());
    listener_ = std::move(*listener);
    port_ = net::local_address(listener_.get())->port();
  }

  void poll() override {
    if (!fd_.valid()) {
      fd_ = net::UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK));
    }
    if (!fd_.valid()) return;
    while (reading) {
      char bytes[16 * 1024];
      const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, 0);
      if (got == 0) ended = true;
      if (got <= 0) break;
      input.append(bytes, static_cast<std::size_t>(got));
    }
    while (unsent() > 0) {
      const ssize_t sent = ::send(fd_.get(), output_.data() + sent_, unsent(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      sent_ += static_cast<std::size_t>(sent);
    }
    if (unsent() == 0 && std::exchange(fin_due_, false)) ::shutdown(fd_.get(), SHUT_WR);
  }
  void send(std::string_view bytes) { output_ += bytes; }
  std::size_t unsent() const { return output_.size() - sent_; }
  bool asked() const { return input.find("\r\n\r\n") != std::string::npos; }
  // What came behind the request head.
  std::string behind_head() const { return input.substr(input.find("\r\n\r\n") + 4); }
  bool has(std::string_view part) const { return input.find(part) != std::string::npos; }
  // Sends FIN behind what was sent, and goes on reading.
  void finish_sending() { fin_due_ = true; }
  void close() { fd_.close(); }
  void reset() { reset_connection(fd_); }

  std::uint16_t port() const { return port_; }
  bool reading = true;
  bool ended = false;  // The gateway's FIN.
  std::string input;

 private:
  net::UniqueFd listener_;
  net::UniqueFd fd_;
  std::uint16_t port_ = 0;
  bool fin_due_ = false;
  std::string output_;
  std::size_t sent_ = 0;  // Of output_.
};

inline std::string handshake(std::string_view target = "/v1/realtime?model=m",
                             std::string_view more = "") {
  return "GET " + std::string(target) +
         " HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, X-Mine\r\nUpgrade: websocket\r\n"
         "X-Mine: 1\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
         std::string(more) + "\r\n";
}

class TunnelTest : public GatewayTest {
 protected:
  // The engine dies before what waits for its connection to end.
  ~TunnelTest() override {
    engine_.close();
    std::erase(peers_, &engine_);
  }
  void start(std::string_view yaml = "") {
    peers_.push_back(&engine_);
    GatewayTest::start({engine_.port()}, yaml);
  }
  // A client with an open tunnel; what it got so far is forgotten.
  Client& open_tunnel(int receive_buffer = 0) {
    Client& one = client(receive_buffer);
    one.send(handshake());
    EXPECT_TRUE(until([&] { return engine_.asked(); }));
    engine_.send(kSwitch);
    EXPECT_TRUE(until([&] { return one.input.find("\r\n\r\n") != std::string::npos; }));
    EXPECT_TRUE(one.input.starts_with("HTTP/1.1 101 ")) << one.input;
    one.input.clear();
    engine_.input.clear();
    return one;
  }
  // The tunnel has ended like this, and its client was told by a close.
  void expect_end(Client& one, const std::string& end, const std::string& outcome) {
    EXPECT_TRUE(until([&] { return one.closed || one.reset; })) << end;
    EXPECT_EQ(metric("fairlead_tunnels_total{end=\"" + end + "\"}"), 1);
    EXPECT_EQ(metric("fairlead_tunnels_open"), 0);
    EXPECT_EQ(metric("fairlead_requests_total{route=\"realtime\",code=\"101\",outcome=\"" +
                     outcome + "\"}"),
              1);
    EXPECT_EQ(logged("status"), "101");
    EXPECT_EQ(logged("outcome"), "\"" + outcome + "\"");
  }
  ClientResponse refusal(const std::string& request) {
    Client& one = client();
    one.send(request);
    return wait_for(one);
  }

  ByteEngine engine_;
};

}  // namespace fairlead::gateway
