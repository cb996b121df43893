// SPDX-License-Identifier: Apache-2.0
// WebSockets through the whole gateway: who gets one, what passes, and how each ends.
#include "fronts/gateway/testing/tunnel_fixture.h"
#include "io/net/testing/http2_client.h"

namespace fairlead::gateway {
namespace {

TEST_F(TunnelTest, BytesFlowBothWaysAndTheEnginesCloseEndsIt) {
  start();
  Client& one = client();
  one.send(handshake() + "ahead");
  ASSERT_TRUE(until([&] { return engine_.asked(); }));
  EXPECT_TRUE(engine_.input.starts_with("GET /v1/realtime?model=m HTTP/1.1\r\n")) << engine_.input;
  EXPECT_TRUE(engine_.has("connection: Upgrade\r\nupgrade: websocket\r\n")) << engine_.input;
  EXPECT_TRUE(engine_.has("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
  EXPECT_FALSE(engine_.has("X-Mine"));
  EXPECT_FALSE(engine_.has("content-length"));
  EXPECT_EQ(engine_.behind_head(), "") << "nothing before the 101";
  engine_.send(kSwitch + "first");
  ASSERT_TRUE(until([&] { return one.input.ends_with("\r\n\r\nfirst"); })) << one.input;
  EXPECT_NE(one.input.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            std::string::npos);
  EXPECT_NE(one.input.find("x-fairlead-endpoint: engine-0\r\n"), std::string::npos);
  ASSERT_TRUE(until([&] { return engine_.behind_head() == "ahead"; }));
  one.send("more");
  ASSERT_TRUE(until([&] { return engine_.behind_head() == "aheadmore"; }));
  EXPECT_EQ(router_->inflight().total().requests, 1) << "its share is held";
  EXPECT_EQ(metric("fairlead_tunnels_open"), 1);
  engine_.send("last");
  engine_.poll();
  engine_.close();
  expect_end(one, "closed", "completed");
  EXPECT_TRUE(one.input.ends_with("firstlast"));
  EXPECT_EQ(logged("request_bytes"), "9");
  EXPECT_EQ(logged("response_bytes"), "9");
  EXPECT_EQ(logged("model"), "\"m\"");
  EXPECT_EQ(metric("fairlead_tunnel_bytes_total{direction=\"from_client\"}"), 9);
  EXPECT_EQ(metric("fairlead_tunnel_bytes_total{direction=\"from_engine\"}"), 9);
}

TEST_F(TunnelTest, ARefusingEnginesAnswerIsRelayedAndBytesSentAheadReachNobody) {
  start();
  Client& one = client();
  one.send(handshake() + "GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(until([&] { return engine_.asked(); }));
  engine_.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  const ClientResponse response = wait_for(one);
  EXPECT_EQ(response.status, 403);
  EXPECT_EQ(response.body, "no");
  EXPECT_EQ(response.header("connection"), "close");
  EXPECT_TRUE(until([&] { return one.closed; }));
  EXPECT_EQ(engine_.behind_head(), "");
  EXPECT_TRUE(one.input.ends_with("\r\n\r\nno")) << "nor were they taken for a request";
  EXPECT_EQ(metric("fairlead_tunnels_total{end=\"closed\"}"), 0);
}

TEST_F(TunnelTest, A101ThatNobodyAskedForIsMalformed) {
  start();
  Client& one = client();
  one.post("/v1/chat/completions", chat_body(), "Connection: Upgrade\r\nUpgrade: websocket\r\n");
  ASSERT_TRUE(until([&] { return engine_.asked(); }));
  EXPECT_FALSE(engine_.has("pgrade")) << "hop-by-hop on every other route";
  engine_.send(kSwitch);
  EXPECT_EQ(wait_for(one).status, 502);
  EXPECT_EQ(metric("fairlead_upstream_failures_total{kind=\"malformed_response\"}"), 1);
}

TEST_F(TunnelTest, HandshakesThatCannotBeServedSayWhy) {
  start("limits: {headerBytes: 1Ki}");
  ClientResponse response = refusal("GET /v1/realtime?model=m HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(response.status, 426);
  EXPECT_EQ(response.header("upgrade"), "websocket");
  EXPECT_EQ(response.header("sec-websocket-version"), "13");
  EXPECT_EQ(refusal("POST /v1/realtime HTTP/1.1\r\nHost: t\r\n\r\n").status, 405);
  const std::pair<std::string, std::string> bad[] = {
      {handshake("/v1/realtime"), "must name the model"},
      {handshake("/v1/realtime?model="), "must name the model"},
      {handshake("/v1/realtime?model=m&x=1&model=m"), "more than once"},
      {handshake("/v1/realtime?model=%zz"), "percent-encoding"},
      {handshake("/v1/realtime?model=m", "Content-Length: 1\r\n") + "x", "no body"},
      {handshake("/v1/realtime?model=m", "Sec-WebSocket-Key: again\r\n"), "Sec-WebSocket-Key"}};
  for (const auto& [request, message] : bad) {
    response = refusal(request);
    EXPECT_EQ(response.status, 400) << request;
    EXPECT_NE(response.body.find(message), std::string::npos) << response.body;
    EXPECT_EQ(response.header("connection"), "close");
  }
  EXPECT_EQ(refusal(handshake("/v1/realtime?model=%78")).status, 404) << "model x";
  response = refusal(handshake("/v1/realtime?model=m", "Origin: https://evil.example\r\n"));
  EXPECT_EQ(response.status, 403);
  EXPECT_EQ(response.header("x-fairlead-reason"), "origin_not_allowed");
  const std::string large = "X-Large: " + std::string(2000, 'x') + "\r\n";
  EXPECT_EQ(refusal(handshake("/v1/realtime?model=m", large)).status, 431);
  EXPECT_FALSE(engine_.asked());
}

TEST_F(TunnelTest, Http2ClientsAreToldThatTheyNeedHttp1) {
  start();
  net::testing::Http2Client http2(*loop_, net::SocketAddress::loopback(port_), {});
  const auto& answer =
      http2.wait(http2.request(net::testing::Http2Client::get("/v1/realtime?model=m")));
  EXPECT_EQ(answer.status, 426);
  EXPECT_NE(answer.body.find("RFC 8441"), std::string::npos) << answer.body;
  http2.raw().close();
}

TEST_F(TunnelTest, TheClientsKeyOpensItAndIsNotForwarded) {
  start();
  set_keys({{"alice", ""}}, "Bearer ours");
  EXPECT_EQ(refusal(handshake()).status, 401);
  Client& one = client();
  one.send(handshake("/v1/realtime?model=m", "Authorization: Bearer sk-alice\r\n"));
  ASSERT_TRUE(until([&] { return engine_.asked(); }));
  EXPECT_FALSE(engine_.has("sk-alice"));
  EXPECT_TRUE(engine_.has("authorization: Bearer ours\r\n"));
  EXPECT_EQ(key("alice").usage->figures().running, 1U);
}

TEST_F(TunnelTest, AnEngineThatDiesIsCountedAgainstItself) {
  start();
  Client& one = open_tunnel();
  engine_.reset();
  expect_end(one, "engine_failed", "upstream_failed");
  EXPECT_EQ(logged("last_failure"), "\"reset_mid_body\"");
}

TEST_F(TunnelTest, AClientThatVanishesClosesTheEnginesConnection) {
  start();
  Client& one = open_tunnel();
  one.abort();
  ASSERT_TRUE(until([&] { return engine_.ended; }));
  EXPECT_EQ(metric("fairlead_tunnels_total{end=\"client_gone\"}"), 1);
  EXPECT_EQ(logged("outcome"), "\"client_gone\"");
}

TEST_F(TunnelTest, AClientsHalfCloseGoesOnAndTheAnswerStillComes) {
  start();
  Client& one = open_tunnel();
  one.send("bye");
  one.finish_sending();
  ASSERT_TRUE(until([&] { return engine_.ended; }));
  EXPECT_EQ(engine_.input, "bye");
  engine_.send("farewell");
  ASSERT_TRUE(until([&] { return one.input == "farewell"; }));
  engine_.close();
  expect_end(one, "closed", "completed");
}

TEST_F(TunnelTest, AClientThatVanishesBehindItsHalfCloseKeepsNoTunnel) {
  start();
  Client& one = open_tunnel();
  one.finish_sending();
  ASSERT_TRUE(until([&] { return engine_.ended; }));
  one.abort();
  ASSERT_TRUE(until([&] { return metric("fairlead_tunnels_open") == 0; }));
  EXPECT_EQ(metric("fairlead_tunnels_total{end=\"client_gone\"}"), 1);
}

TEST_F(TunnelTest, ASlowReaderHoldsTheOtherSideBack) {
  const std::string much(std::size_t{32} << 20, 'x');
  start();
  Client& one = open_tunnel(4096);
  one.reading = false;
  engine_.reading = false;
  engine_.send(much);
  one.send(much);
  std::size_t before = 0;
  int quiet = 0;
  // Nothing more leaves either sender once the sockets and the gateway's bound are full.
  ASSERT_TRUE(until([&] {
    const std::size_t left = engine_.unsent() + one.unsent();
    quiet = left == before ? quiet + 1 : 0;
    before = left;
    return quiet > 50;
  }));
  EXPECT_GT(engine_.unsent(), 0U) << "held back";
  EXPECT_GT(one.unsent(), 0U) << "held back";
  one.reading = engine_.reading = true;
  EXPECT_TRUE(until([&] { return one.input.size() == much.size(); })) << one.input.size();
  EXPECT_TRUE(until([&] { return engine_.input.size() == much.size(); })) << engine_.input.size();
  engine_.close();
  expect_end(one, "closed", "completed");
}

TEST_F(TunnelTest, OnlyAnIdleOneIsCutOff) {
  start("limits: {tunnelIdle: 200ms}");
  Client& one = open_tunnel();
  const Time begin = loop_->now();
  std::size_t sent = 0;
  // Bytes one way keep it open.
  ASSERT_TRUE(until([&] {
    if (engine_.input.size() == sent) {
      one.send("x");
      ++sent;
    }
    return loop_->now() - begin > std::chrono::milliseconds(500);
  }));
  EXPECT_EQ(metric("fairlead_tunnels_open"), 1);
  expect_end(one, "idle", "timed_out");
  EXPECT_TRUE(until([&] { return engine_.ended; }));
}

TEST_F(TunnelTest, TheWholeTimeOfARequestBoundsItToo) {
  start("limits: {requestTotal: 100ms}");
  expect_end(open_tunnel(), "expired", "timed_out");
}

TEST_F(TunnelTest, OpenOnesAreBounded) {
  start("limits: {tunnels: 1}");
  Client& one = open_tunnel();
  const ClientResponse response = refusal(handshake());
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.header("x-fairlead-reason"), "overloaded");
  engine_.close();
  expect_end(one, "closed", "completed");
  open_tunnel();
}

TEST_F(TunnelTest, AllWorkersShareOneBound) {
  start("limits: {tunnels: 2}\ngateway: {workers: 2}");
  open_tunnel();
  {
    GatewayWorker other(*loop_, *router_, &access_, WorkerPlace{.number = 1});
    const auto bound = other.listen(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
    ASSERT_TRUE(bound.has_value());
    Client there(bound->port());
    peers_.push_back(&there);
    there.send(handshake());
    ASSERT_TRUE(until([&] { return other.requests_running() == 1; }));
    EXPECT_EQ(refusal(handshake()).status, 503) << "the other worker has the second one";
    there.close();
    ASSERT_TRUE(until([&] { return other.requests_running() == 0; }));
    std::erase(peers_, &there);
  }
  EXPECT_TRUE(router_->overload().take_tunnel(2)) << "given back";
  EXPECT_FALSE(router_->overload().take_tunnel(2));
  router_->overload().give_back_tunnels(1);
}

TEST_F(TunnelTest, ADrainCutsThemOffInTheEnd) {
  start("gateway: {drainTimeout: 50ms}");
  Client& one = open_tunnel();
  bool drained = false;
  worker_->drain([&] { drained = true; });
  expect_end(one, "drained", "timed_out");
  EXPECT_EQ(logged("reply_reason"), "\"draining\"");
  one.close();
  EXPECT_TRUE(until([&] { return drained; }));
}

}  // namespace
}  // namespace fairlead::gateway
