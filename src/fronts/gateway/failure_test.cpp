// SPDX-License-Identifier: Apache-2.0
// What clients see when engines fail: retries while nothing was sent, typed errors afterwards.
#include <gtest/gtest.h>

#include <string>

#include "fronts/gateway/relay.h"
#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

using Then = RawEngine::Then;

const std::string kBusy =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 7\r\n"
    "Content-Length: 15\r\n\r\n{\"busy\":\"very\"}";
std::string chunk(std::string_view bytes) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string(bytes) + "\r\n";
}

class FailureTest : public GatewayTest {
 protected:
  // A port that refuses connections.
  static std::uint16_t closed_port() {
    auto listener = net::listen_tcp(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
    return net::local_address(listener->get())->port();
  }
  double failures(std::string_view kind) const {
    return metric("fairlead_upstream_failures_total{kind=\"" + std::string(kind) + "\"}");
  }
  // The client of a stream that broke after its first bytes.
  Client& broken_stream() {
    Client& one = client();
    one.post("/v1/chat/completions", chat_body());
    EXPECT_TRUE(until([&] { return one.reset || one.closed; }));
    EXPECT_FALSE(one.response().complete);
    return one;
  }
};

TEST_F(FailureTest, ARefusedConnectionIsTriedElsewhereWithTheSameBytes) {
  ScriptedEngine& good = engine();
  start({closed_port(), good.port()});
  for (int i = 0; i < 2; ++i) {
    const ClientResponse response = ask(chat_body("same bytes"));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.header("x-fairlead-endpoint"), "engine-1");
  }
  ASSERT_EQ(good.requests.size(), 2U);
  EXPECT_EQ(good.requests[0].body, chat_body("same bytes"));
  EXPECT_EQ(good.requests[0].header("host"), "127.0.0.1:" + std::to_string(good.port()));
  // The second request avoids the endpoint that just failed.
  EXPECT_EQ(failures("connect_refused"), 1);
  EXPECT_EQ(metric("fairlead_retries_total"), 1);
  EXPECT_NE(access_.lines[0].find("\"attempts\":2,\"last_failure\":\"connect_refused\""),
            std::string::npos)
      << access_.lines[0];
}

TEST_F(FailureTest, AConnectionResetBeforeTheAnswerIsTriedElsewhere) {
  RawEngine& bad = raw_engine({{"", Then::kReset}});
  RawEngine& good = raw_engine({{kJsonAnswer, Then::kKeep}});
  start({bad.port(), good.port()});
  EXPECT_EQ(ask(chat_body()).header("x-fairlead-endpoint"), "engine-1");
  EXPECT_EQ(failures("reset_before_response"), 1);
}

TEST_F(FailureTest, AnEngineThatDiesBetweenHeadAndFirstTokenIsReplaced) {
  RawEngine& bad = raw_engine({{kStreamHead, Then::kReset}});
  RawEngine& good = raw_engine({{kStreamHead + chunk(kTokenEvent) + "0\r\n\r\n", Then::kKeep}});
  start({bad.port(), good.port()});
  const ClientResponse response = ask(chat_body());
  EXPECT_EQ(response.header("x-fairlead-endpoint"), "engine-1");
  EXPECT_EQ(response.body, kTokenEvent);
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(bad.requests, 1U);
}

TEST_F(FailureTest, AMalformedAnswerIsTriedElsewhere) {
  RawEngine& bad = raw_engine({{"SSH-2.0-OpenSSH_9.2\r\n\r\n", Then::kKeep}});
  RawEngine& good = raw_engine({{kJsonAnswer, Then::kKeep}});
  start({bad.port(), good.port()});
  EXPECT_EQ(ask(chat_body()).status, 200);
  EXPECT_EQ(failures("malformed_response"), 1);
}

TEST_F(FailureTest, A503IsTriedElsewhereAndItsAnswerDropped) {
  RawEngine& busy = raw_engine({{kBusy, Then::kKeep}});
  RawEngine& good = raw_engine({{kJsonAnswer, Then::kKeep}});
  start({busy.port(), good.port()});
  const ClientResponse response = ask(chat_body());
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "{}");
  EXPECT_EQ(response.header("retry-after"), "(none)");
  EXPECT_EQ(failures("server_error"), 1);
}

TEST_F(FailureTest, WhenEveryoneIsBusyTheEnginesOwnAnswerIsRelayed) {
  RawEngine& zero = raw_engine({{kBusy, Then::kKeep}});
  RawEngine& one = raw_engine({{kBusy, Then::kKeep}});
  start({zero.port(), one.port()});
  const ClientResponse response = ask(chat_body());
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "{\"busy\":\"very\"}");
  EXPECT_EQ(response.header("retry-after"), "7");
  EXPECT_EQ(zero.requests + one.requests, 2U);
  EXPECT_EQ(logged("outcome"), "\"upstream_failed\"");
}

TEST_F(FailureTest, A503TooLongToHoldIsRelayedWhole) {
  const std::string body(3 * kHeldBodyBytesMax, 'b');
  RawEngine& busy =
      raw_engine({{"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n" +
                       chunk(body.substr(0, 100)) + chunk(body.substr(100)) + "0\r\n\r\n",
                   Then::kKeep}});
  start({busy.port(), busy.port()});
  const ClientResponse response = ask(chat_body());
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, body);
  EXPECT_TRUE(response.complete);
}

TEST_F(FailureTest, AllTriesFailedIsATyped502) {
  start({closed_port(), closed_port(), closed_port(), closed_port()});
  const ClientResponse response = ask(chat_body());
  EXPECT_EQ(response.status, 502);
  EXPECT_EQ(response.header("x-fairlead-reason"), "upstream_failed");
  EXPECT_NE(response.body.find("\"type\":\"server_error\""), std::string::npos);
  EXPECT_EQ(logged("attempts"), "3");
  EXPECT_EQ(metric("fairlead_retries_total"), 2);
}

TEST_F(FailureTest, RetriesStopWhenTheBudgetIsSpent) {
  start({closed_port(), closed_port()},
        "limits: {retry: {maxAttempts: 2, budgetRatio: 0, minPerSecond: 0}}");
  int requests = 0;
  while (metric("fairlead_retry_budget_exhausted_total") == 0 && requests < 20) {
    EXPECT_EQ(ask(chat_body()).status, 502);
    ++requests;
  }
  // Ten retries are saved up from the start.
  EXPECT_EQ(requests, 11);
  EXPECT_EQ(metric("fairlead_retries_total"), 10);
  EXPECT_EQ(logged("attempts"), "1");
}

TEST_F(FailureTest, ABodyBeyondTheRetryBufferIsNotTriedTwice) {
  ScriptedEngine& good = engine();
  start({closed_port(), good.port()}, "limits: {retry: {bufferBytes: 64Ki}}");
  const ClientResponse response = ask(chat_body(std::string(65 * 1024, 'x')));
  EXPECT_EQ(response.status, 502);
  EXPECT_TRUE(good.requests.empty());
  EXPECT_EQ(metric("fairlead_requests_beyond_retry_buffer_total"), 1);
}

TEST_F(FailureTest, AStalePooledConnectionIsReplacedWithoutBlame) {
  RawEngine& engine =
      raw_engine({{kJsonAnswer, Then::kKeep}, {"", Then::kReset}, {kJsonAnswer, Then::kKeep}});
  start({engine.port()});
  EXPECT_EQ(ask(chat_body()).status, 200);
  EXPECT_EQ(ask(chat_body()).status, 200);
  EXPECT_EQ(engine.requests, 3U);
  EXPECT_EQ(metric("fairlead_stale_connection_retries_total"), 1);
  EXPECT_EQ(metric("fairlead_retries_total"), 0);
  EXPECT_EQ(failures("stale_connection"), 0);
  EXPECT_EQ(logged("attempts"), "1");
}

TEST_F(FailureTest, AfterTheFirstByteAStreamEndsInAnErrorEventAndAReset) {
  RawEngine& bad = raw_engine({{kStreamHead + chunk(kTokenEvent), Then::kClose}});
  ScriptedEngine& other = engine();
  start({bad.port(), other.port()});
  Client& one = broken_stream();
  EXPECT_TRUE(one.reset);
  const std::string body = one.response().body;
  EXPECT_TRUE(body.starts_with(std::string(kTokenEvent) + "data: {\"error\":{\"message\":"))
      << body;
  EXPECT_NE(body.find("\"code\":\"upstream_failed\""), std::string::npos) << body;
  EXPECT_TRUE(body.ends_with("}\n\n")) << body;
  EXPECT_TRUE(other.requests.empty());
  EXPECT_EQ(metric("fairlead_retries_total"), 0);
  EXPECT_EQ(failures("reset_mid_body"), 1);
  EXPECT_EQ(logged("outcome"), "\"upstream_failed\"");
  EXPECT_EQ(logged("status"), "200");
}

TEST_F(FailureTest, InTheMiddleOfAnEventOrAChunkNoEventIsForged) {
  const std::string half = std::string(kTokenEvent.substr(0, 20));
  RawEngine& mid_chunk =
      raw_engine({{kStreamHead + "40\r\n" + std::string(kTokenEvent), Then::kClose}});
  RawEngine& mid_event = raw_engine({{kStreamHead + chunk(half), Then::kClose}});
  start({mid_chunk.port()});
  EXPECT_EQ(broken_stream().response().body, kTokenEvent);
  publish({mid_event.port()}, 2);
  EXPECT_EQ(broken_stream().response().body, half);
}

TEST_F(FailureTest, ABrokenStreamNeverLooksCompleteToHttp10Clients) {
  RawEngine& bad = raw_engine({{kStreamHead + chunk(kTokenEvent), Then::kClose}});
  start({bad.port()});
  Client& one = client();
  const std::string body = chat_body();
  one.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body);
  EXPECT_TRUE(until([&] { return one.reset || one.closed; }));
  EXPECT_TRUE(one.reset);
  EXPECT_NE(one.input.find("data: {\"error\""), std::string::npos);
}

TEST_F(FailureTest, ABrokenWholeAnswerEndsInAReset) {
  RawEngine& bad = raw_engine(
      {{"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"a\":",
        Then::kClose}});
  start({bad.port()});
  EXPECT_EQ(broken_stream().response().body, "{\"a\":");
}

TEST_F(FailureTest, A500IsRelayedAndIsNoEvidenceAgainstTheEndpoint) {
  RawEngine& bad = raw_engine(
      {{"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops", Then::kKeep}});
  ScriptedEngine& other = engine();
  start({bad.port(), other.port()});
  EXPECT_EQ(ask(chat_body()).body, "oops");
  EXPECT_EQ(logged("outcome"), "\"upstream_failed\"");
  EXPECT_EQ(failures("internal_error"), 1);
  std::vector<model::Observation> seen;
  router_->inbox().drain(seen);
  EXPECT_TRUE(seen.empty()) << "one prompt must not eject every engine it is sent to";
}

TEST_F(FailureTest, AnErrorEventOfTheEngineIsAFailure) {
  RawEngine& bad =
      raw_engine({{kStreamHead + chunk(kTokenEvent) +
                       chunk("data: {\"error\":{\"message\":\"died\"}}\n\n") + "0\r\n\r\n",
                   Then::kKeep}});
  start({bad.port()});
  EXPECT_TRUE(ask(chat_body()).complete);
  EXPECT_EQ(logged("outcome"), "\"upstream_failed\"");
}

TEST_F(FailureTest, ASilentEngineIsATyped504) {
  ScriptedEngine& silent = engine();
  silent.script = [](net::ServerExchange&) {};
  start({silent.port()}, "limits: {upstreamFirstByte: 50ms}");
  const ClientResponse response = ask(chat_body());
  EXPECT_EQ(response.status, 504);
  EXPECT_EQ(response.header("x-fairlead-reason"), "upstream_timeout");
  EXPECT_EQ(logged("outcome"), "\"timed_out\"");
  EXPECT_EQ(failures("response_timeout"), 1);
}

TEST_F(FailureTest, TheTotalTimeEndsAStreamThatGoesOn) {
  RawEngine& endless = raw_engine({{kStreamHead + chunk(kTokenEvent), Then::kKeep}});
  start({endless.port()}, "limits: {requestTotal: 80ms}");
  Client& one = broken_stream();
  EXPECT_NE(one.response().body.find("\"code\":\"upstream_timeout\""), std::string::npos);
  EXPECT_EQ(logged("outcome"), "\"timed_out\"");
  // Our own limit says nothing about the endpoint.
  EXPECT_EQ(failures("reset_mid_body"), 0);
}

TEST_F(FailureTest, AnEmptyPoolIsATyped503) {
  start({});
  const ClientResponse response = ask(chat_body());
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.header("x-fairlead-reason"), "no_endpoint");
  EXPECT_EQ(response.header("retry-after"), "1");
}

}  // namespace
}  // namespace fairlead::gateway
