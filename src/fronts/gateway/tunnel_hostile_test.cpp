// SPDX-License-Identifier: Apache-2.0
// WebSockets between hostile ends: what is refused opens nothing and lets nothing behind it pass,
// and whoever cuts, stalls or half-closes a tunnel ends it, once, with its own reason.
#include "fronts/gateway/testing/tunnel_fixture.h"
#include "io/net/testing/http2_client.h"

namespace fairlead::gateway {
namespace {

const std::string kHidden = "GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n";
const std::string kMuch(std::size_t{32} << 20, 'x');

class TunnelHostileTest : public TunnelTest {
 protected:
  // Exactly one answer, then the end: nothing behind the handshake was taken for a request.
  void expect_one_answer(Client& one, int status, const std::string& name) {
    EXPECT_TRUE(until([&] { return one.closed || one.reset; })) << name << "\n" << one.input;
    EXPECT_EQ(statuses_in(one.input), std::vector<int>{status}) << name << "\n" << one.input;
  }
  // The handshake waits at the engine.
  Client& asking(const std::string& more = "") {
    Client& one = client();
    one.send(handshake() + more);
    EXPECT_TRUE(until([&] { return engine_.asked(); }));
    return one;
  }
  double ended(const std::string& end) const {
    return metric("fairlead_tunnels_total{end=\"" + end + "\"}");
  }
};

TEST_F(TunnelHostileTest, ARefusalOfWhateverReasonLetsNothingBehindItPass) {
  start("limits: {tunnels: 0}");
  Client& one = client();
  one.send(handshake() + kHidden);
  expect_one_answer(one, 503, "no tunnels");
  set_keys({{"alice", ""}});
  Client& two = client();
  two.send(handshake() + kHidden);
  expect_one_answer(two, 401, "no key");
  publish({}, 2);
  Client& three = client();
  three.send(handshake("/v1/realtime?model=m", "Authorization: Bearer sk-alice\r\n") + kHidden);
  expect_one_answer(three, 503, "no endpoint");
  EXPECT_TRUE(engine_.input.empty());
}

TEST_F(TunnelHostileTest, AnAnswerThatDoesNotFitTheHandshakeOpensNothing) {
  RawEngine& engine = raw_engine({});
  GatewayTest::start({engine.port()}, "limits: {retry: {maxAttempts: 1}}");
  const std::string line = "HTTP/1.1 101 Switching Protocols\r\n";
  const std::string upgrade = "Upgrade: websocket\r\n";
  const std::string connection = "Connection: Upgrade\r\n";
  const std::string accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
  const std::pair<std::string, std::string> cases[] = {
      {"no Upgrade", line + connection + accept},
      {"another Upgrade", line + "Upgrade: h2c\r\n" + connection + accept},
      {"two Upgrades", line + upgrade + "Upgrade: h2c\r\n" + connection + accept},
      {"no Connection", line + upgrade + accept},
      {"no accept", line + upgrade + connection},
      {"another key's accept",
       line + upgrade + connection + "Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n"},
      {"two accepts", line + upgrade + connection + accept + accept},
      {"accept of HTTP/1.0",
       "HTTP/1.0 101 Switching Protocols\r\n" + upgrade + connection + accept},
      {"length and encoding", line + upgrade + connection + accept +
                                  "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"},
      {"a folded line", line + "Upgrade:\r\n websocket\r\n" + connection + accept},
      {"a bare LF", line + "Upgrade: websocket\n" + connection + accept},
      {"no status", "HTTP/1.1 1x1 Switching\r\n" + upgrade + connection + accept},
      {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n"},
  };
  double failures = 0;
  for (const auto& [name, head] : cases) {
    engine.replies = {{head + "\r\n" + "bytes", RawEngine::Then::kKeep}};
    Client& one = client();
    one.send(handshake() + kHidden);
    expect_one_answer(one, 502, name);
    EXPECT_EQ(metric("fairlead_upstream_failures_total{kind=\"malformed_response\"}"), ++failures)
        << name;
    EXPECT_EQ(one.input.find("bytes"), std::string::npos) << name;
  }
  EXPECT_EQ(engine.requests, std::size(cases)) << "nothing behind a handshake reached the engine";
  EXPECT_EQ(ended("closed") + ended("engine_failed"), 0);
  engine.replies = {{kSwitch + "bytes", RawEngine::Then::kClose}};
  Client& good = client();
  good.send(handshake());
  EXPECT_TRUE(until([&] { return good.closed; }));
  EXPECT_TRUE(good.input.ends_with("\r\n\r\nbytes")) << good.input;
}

TEST_F(TunnelHostileTest, FramingHeadersOfA101DoNotReachTheClient) {
  start();
  Client& one = asking();
  engine_.send(kSwitch.substr(0, kSwitch.size() - 2) + "Content-Length: 1\r\n\r\nbytes");
  ASSERT_TRUE(until([&] { return one.input.ends_with("\r\n\r\nbytes"); })) << one.input;
  EXPECT_EQ(one.input.find("ength"), std::string::npos) << one.input;
}

TEST_F(TunnelHostileTest, AnEngineThatDiesOrStallsBeforeItsAnswerIsATypedError) {
  RawEngine& engine = raw_engine({});
  GatewayTest::start({engine.port()},
                     "limits: {upstreamFirstByte: 200ms, retry: {maxAttempts: 1}}");
  using Then = RawEngine::Then;
  const std::tuple<std::string, RawEngine::Reply, int> cases[] = {
      {"cut", {"", Then::kClose}, 502},
      {"reset", {"", Then::kReset}, 502},
      {"half-closed", {"", Then::kHalfClose}, 502},
      {"cut in its head", {kSwitch.substr(0, 40), Then::kClose}, 502},
      {"silent", {"", Then::kKeep}, 504},
      {"silent in its head", {kSwitch.substr(0, 40), Then::kKeep}, 504},
      {"only interim", {"HTTP/1.1 100 Continue\r\n\r\n", Then::kKeep}, 504},
      {"not asked for", {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", Then::kKeep}, 200},
  };
  for (const auto& [name, reply, status] : cases) {
    engine.replies = {reply};
    Client& one = client();
    one.send(handshake() + kHidden);
    expect_one_answer(one, status, name);
  }
  EXPECT_EQ(engine.requests, std::size(cases));
  EXPECT_EQ(metric("fairlead_tunnels_open"), 0);
}

TEST_F(TunnelHostileTest, AClientThatLeavesBeforeTheAnswerTakesTheEnginesConnectionWithIt) {
  start();
  Client& one = asking("ahead");
  one.abort();
  ASSERT_TRUE(until([&] { return engine_.ended; }));
  EXPECT_EQ(engine_.behind_head(), "");
  EXPECT_EQ(logged("outcome"), "\"client_gone\"");
  EXPECT_EQ(ended("client_gone"), 0) << "it was none yet";
}

TEST_F(TunnelHostileTest, AClientThatHalfClosesBeforeTheAnswerStillGetsATunnel) {
  start();
  Client& one = asking("ahead");
  one.finish_sending();
  for (int i = 0; i < 20; ++i) turn();
  EXPECT_FALSE(engine_.ended);
  engine_.send(kSwitch);
  ASSERT_TRUE(until([&] { return engine_.ended; }));
  EXPECT_EQ(engine_.behind_head(), "ahead");
  engine_.send("farewell");
  ASSERT_TRUE(until([&] { return one.input.ends_with("farewell"); }));
  engine_.close();
  EXPECT_TRUE(until([&] { return one.closed; }));
  EXPECT_EQ(ended("closed"), 1);
}

TEST_F(TunnelHostileTest, AnEnginesHalfCloseEndsTheTunnelBehindItsLastBytes) {
  start();
  Client& one = open_tunnel();
  engine_.send("last");
  engine_.finish_sending();
  expect_end(one, "closed", "completed");
  EXPECT_EQ(one.input, "last");
  EXPECT_TRUE(until([&] { return engine_.ended; }));
}

TEST_F(TunnelHostileTest, BytesBehindTheEndOfATunnelAreNobodysRequest) {
  start();
  Client& one = open_tunnel();
  engine_.close();
  one.send(kHidden);
  expect_end(one, "closed", "completed");
  EXPECT_EQ(one.input, "");
}

TEST_F(TunnelHostileTest, AClientThatReadsNothingIsCutOff) {
  start("limits: {clientWrite: 200ms}");
  Client& one = open_tunnel(4096);
  one.reading = false;
  engine_.send(kMuch);
  ASSERT_TRUE(until([&] { return metric("fairlead_tunnels_open") == 0; }));
  EXPECT_EQ(ended("client_gone"), 1);
  EXPECT_TRUE(until([&] { return engine_.ended; }));
}

TEST_F(TunnelHostileTest, AnEngineThatReadsNothingIsCutOffWhenNothingMovesAnyMore) {
  start("limits: {tunnelIdle: 300ms}");
  Client& one = open_tunnel();
  engine_.reading = false;
  one.send(kMuch);
  expect_end(one, "idle", "timed_out");
  EXPECT_LT(loop_->buffers().lent_bytes(), std::size_t{1} << 20);
}

TEST_F(TunnelHostileTest, AnEnginesResetUnderPendingBytesEndsItOnce) {
  start();
  Client& one = open_tunnel(4096);
  one.reading = false;
  engine_.send(kMuch.substr(0, 1 << 20));
  ASSERT_TRUE(until([&] { return engine_.unsent() == 0; }));
  engine_.reset();
  one.reading = true;
  expect_end(one, "engine_failed", "upstream_failed");
}

TEST_F(TunnelHostileTest, AnUpgradeToHttp2IsNotTakenAndItsPrefaceIsNoRequest) {
  ScriptedEngine& engine = this->engine();
  GatewayTest::start({engine.port()});
  const std::string preface =
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9);
  Client& one = client();
  one.post("/v1/chat/completions", chat_body(),
           "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n");
  EXPECT_EQ(wait_for(one).status, 200) << "an Upgrade may be ignored";
  EXPECT_EQ(engine.requests.at(0).header("upgrade"), "(none)");
  EXPECT_EQ(engine.requests.at(0).header("http2-settings"), "(none)");
  one.next();
  one.send(preface);
  EXPECT_EQ(wait_for(one).status, 505);
  EXPECT_TRUE(until([&] { return one.closed || one.reset; }));
  EXPECT_EQ(engine.requests.size(), 1U);
}

TEST_F(TunnelHostileTest, HandshakesInsideHttp2ReachNoEngine) {
  start();
  using net::testing::Http2Client;
  Http2Client http2(*loop_, net::SocketAddress::loopback(port_), {});
  // Connection's own headers are malformed there (RFC 9113 section 8.2.2), and extended CONNECT was
  // not offered (RFC 8441 section 3).
  auto headers = Http2Client::get("/v1/realtime?model=m");
  headers.insert(headers.end(), {{"connection", "upgrade"},
                                 {"upgrade", "websocket"},
                                 {"sec-websocket-version", "13"},
                                 {"sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="}});
  EXPECT_NE(http2.wait(http2.request(headers)).reset, 0U);
  auto extended = Http2Client::get("/v1/realtime?model=m");
  extended[0].second = "CONNECT";
  extended.insert(extended.begin() + 1, {":protocol", "websocket"});
  EXPECT_NE(http2.wait(http2.request(extended, "", false)).reset, 0U);
  const auto& plain = http2.wait(http2.request(Http2Client::get("/v1/realtime?model=m")));
  EXPECT_EQ(plain.status, 426) << "the connection goes on";
  EXPECT_TRUE(engine_.input.empty());
  http2.raw().close();
}

}  // namespace
}  // namespace fairlead::gateway
