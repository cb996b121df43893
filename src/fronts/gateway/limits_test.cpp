// SPDX-License-Identifier: Apache-2.0
// Limits towards clients, draining, and the gateway with its threads.
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <thread>

#include "fronts/gateway/gateway.h"
#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

class LimitsTest : public GatewayTest {
 protected:
  void expect_refused(Client& client, int status, std::string_view reason) {
    const ClientResponse response = wait_for(client);
    EXPECT_EQ(response.status, status);
    EXPECT_EQ(response.header("x-fairlead-reason"), reason);
    EXPECT_EQ(response.header("content-type"), "application/json");
    EXPECT_TRUE(response.body.starts_with("{\"error\":{\"message\":")) << response.body;
  }
};

TEST_F(LimitsTest, ABodyThatIsTooLargeIs413BeforeItIsRead) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()}, "limits: {bodyBytes: 64Ki}");
  Client& announced = client();
  announced.send("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 70000\r\n\r\n");
  expect_refused(announced, 413, "too_large");
  Client& chunked = client();
  chunked.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
      "11170\r\n" +
      std::string(70000, 'x') + "\r\n0\r\n\r\n");
  expect_refused(chunked, 413, "too_large");
  EXPECT_EQ(metric("fairlead_refusals_total{kind=\"body_too_large\"}"), 2);
  EXPECT_TRUE(engine.requests.empty());
}

TEST_F(LimitsTest, HeadersThatAreTooLargeOrTooManyAre431) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()}, "limits: {headerBytes: 4Ki, headerCount: 8}");
  Client& large = client();
  large.send("POST /v1/completions HTTP/1.1\r\nHost: t\r\nX: " + std::string(5000, 'x') + "\r\n");
  expect_refused(large, 431, "header_too_large");
  Client& many = client();
  many.send(
      "GET /v1/models HTTP/1.1\r\nHost: t\r\nA: 1\r\nA: 2\r\nA: 3\r\nA: 4\r\nA: 5\r\nA: 6\r\n"
      "A: 7\r\nA: 8\r\n\r\n");
  expect_refused(many, 431, "header_too_large");
}

TEST_F(LimitsTest, SlowHeadsAndBodiesAre408) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()}, "limits: {headerRead: 50ms, bodyRead: 50ms}");
  Client& head = client();
  head.send("POST /v1/completions HT");
  expect_refused(head, 408, "request_timeout");
  Client& body = client();
  body.send("POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n{");
  expect_refused(body, 408, "request_timeout");
  EXPECT_EQ(metric("fairlead_refusals_total{kind=\"head_timeout\"}"), 1);
}

TEST_F(LimitsTest, SmuggledFramingIs400AndReachesNoEngine) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  Client& both = client();
  both.send(
      "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  expect_refused(both, 400, "bad_request");
  EXPECT_TRUE(engine.requests.empty());
}

TEST_F(LimitsTest, DrainingLetsRunningRequestsEndAndClosesTheirConnections) {
  ScriptedEngine& engine = this->engine();
  net::ServerExchange* running = nullptr;
  engine.script = [&](net::ServerExchange& exchange) { running = &exchange; };
  start({engine.port()});
  Client& idle = client();
  Client& busy = client();
  busy.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([&] { return running != nullptr; }));
  int drained = 0;
  worker_->drain([&] { ++drained; });
  Client& late = client();
  EXPECT_FALSE(late.connected());
  EXPECT_TRUE(until([&] { return idle.closed; }));
  EXPECT_EQ(drained, 0);
  running->send_response(200, {{"content-type", "application/json"}}, "{}");
  const ClientResponse response = wait_for(busy);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("connection"), "close");
  busy.close();
  EXPECT_TRUE(until([&] { return drained == 1; }));
}

TEST_F(LimitsTest, TheDrainTimeoutCutsOffWithTypedErrors) {
  ScriptedEngine& engine = this->engine();
  engine.script = [&](net::ServerExchange& exchange) {
    if (exchange.body().find("stream me") == std::string_view::npos) return;
    exchange.start(200, {{"content-type", "text/event-stream"}}, codec::BodyFraming::chunked());
    exchange.write_chunk(kTokenEvent);
  };
  start({engine.port()}, "gateway: {drainTimeout: 50ms}");
  Client& waiting = client();
  waiting.post("/v1/chat/completions", chat_body("wait"));
  Client& streaming = client();
  streaming.post("/v1/chat/completions", chat_body("stream me"));
  ASSERT_TRUE(until(
      [&] { return streaming.response().body == kTokenEvent && engine.requests.size() == 2; }));
  bool drained = false;
  worker_->drain([&] { drained = true; });
  const ClientResponse refused = wait_for(waiting);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("x-fairlead-reason"), "draining");
  EXPECT_TRUE(until([&] { return streaming.reset; }));
  EXPECT_NE(streaming.response().body.find("\"code\":\"draining\""), std::string::npos);
  EXPECT_TRUE(until([&] { return drained; }));
}

// Engines on a thread of their own, the gateway on two, clients here.
TEST(Gateway, ServesOnSeveralThreadsDrainsAndStops) {
  auto engine_loop = std::move(*net::EventLoop::create());
  auto engine = std::make_unique<ScriptedEngine>(*engine_loop);
  std::thread engine_thread([&] { engine_loop->run(); });
  NullLogSink sink;
  Log log(sink);
  MetricRegistry registry;
  config::Problems problems;
  router::Router router(router::build_generation("", "test.yaml", "", problems), 42, log, registry);
  auto pool = std::make_shared<model::PoolSnapshot>();
  model::Endpoint endpoint;
  endpoint.name = "engine";
  endpoint.host = "127.0.0.1";
  endpoint.port = engine->port();
  endpoint.health = model::Health::kHealthy;
  pool->endpoints.push_back(endpoint);
  router.pool().publish(pool);

  Gateway gateway(router, nullptr);
  const std::vector<config::HostPort> listen = {{"127.0.0.1", 0}, {"127.0.0.1", 0}};
  ASSERT_TRUE(gateway.start(listen, 2).has_value());
  ASSERT_EQ(gateway.ports().size(), 2U);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (int i = 0; i < 64; ++i) {
    Client client(gateway.ports()[static_cast<std::size_t>(i % 2)]);
    ASSERT_TRUE(client.connected());
    client.post("/v1/chat/completions", chat_body());
    while (!client.response().complete && std::chrono::steady_clock::now() < deadline) {
      client.poll();
      std::this_thread::yield();
    }
    EXPECT_EQ(client.response().status, 200);
  }
  std::promise<void> drained;
  gateway.drain([&] { drained.set_value(); });
  EXPECT_EQ(drained.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_FALSE(Client(gateway.ports()[0]).connected());
  gateway.stop();
  EXPECT_EQ(router.inflight().total().requests, 0);
  EXPECT_NE(
      registry.expose().find("fairlead_requests_total{route=\"chat_completions\",code=\"200\","
                             "outcome=\"completed\"} 64"),
      std::string::npos);
  engine_loop->stop();
  engine_thread.join();
  EXPECT_EQ(engine->requests.size(), 64U);
  engine.reset();
}

TEST(Gateway, AnAddressThatCannotBeUsedStopsTheStart) {
  NullLogSink sink;
  Log log(sink);
  MetricRegistry registry;
  config::Problems problems;
  router::Router router(router::build_generation("", "test.yaml", "", problems), 42, log, registry);
  Gateway gateway(router, nullptr);
  const std::vector<config::HostPort> listen = {{"127.0.0.1", 0}, {"no.such.name", 8080}};
  const auto started = gateway.start(listen, 2);
  ASSERT_FALSE(started.has_value());
  EXPECT_NE(started.error().message.find("no.such.name"), std::string::npos);
  EXPECT_TRUE(gateway.ports().empty());
}

TEST(Gateway, APortThatAnotherGatewayHasIsNotShared) {
  NullLogSink sink;
  Log log(sink);
  MetricRegistry registry;
  config::Problems problems;
  router::Router router(router::build_generation("", "test.yaml", "", problems), 42, log, registry);
  Gateway first(router, nullptr);
  ASSERT_TRUE(first.start(std::vector<config::HostPort>{{"127.0.0.1", 0}}, 2).has_value());
  Gateway second(router, nullptr);
  const std::vector<config::HostPort> taken = {{"127.0.0.1", first.ports().front()}};
  const auto started = second.start(taken, 2);
  ASSERT_FALSE(started.has_value());
  EXPECT_NE(started.error().message.find("in use"), std::string::npos) << started.error().message;
}

}  // namespace
}  // namespace fairlead::gateway
