// SPDX-License-Identifier: Apache-2.0
// What passes through the gateway when everything works.
#include <gtest/gtest.h>

#include <string>

#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

using RelayTest = GatewayTest;

TEST_F(RelayTest, ForwardsTheBodyByteForByteWithUnknownFields) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  const std::string body =
      "{ \"x_unknown\" : {\"deep\":[1, 2.50e+1, null]},\t\"model\":\"m\",\r\n \"messages\":[{"
      "\"role\":\"user\",\"content\":\"\\u00e4\xc3\xa4\"}] , \"seed\":12345678901234567890 }\n";
  EXPECT_EQ(ask(body).status, 200);
  ASSERT_EQ(engine.requests.size(), 1U);
  EXPECT_EQ(engine.requests[0].body, body);
}

TEST_F(RelayTest, RewritesTheHeadOnItsWay) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  const ClientResponse response = ask(
      chat_body(), "/v1/chat/completions?beta=1",
      "Authorization: Bearer sk-1\r\nX-Request-Id: mine-7\r\nX-Prefiller-Host-Port: 1.2.3.4:5\r\n"
      "x-gateway-destination-endpoint: 1.2.3.4:5\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
      "traceparent: 00-abc\r\n");
  ASSERT_EQ(engine.requests.size(), 1U);
  const ScriptedEngine::Received& seen = engine.requests[0];
  EXPECT_EQ(seen.target, "/v1/chat/completions?beta=1");
  EXPECT_EQ(seen.header("host"), "127.0.0.1:" + std::to_string(engine.port()));
  EXPECT_EQ(seen.header("authorization"), "Bearer sk-1");
  EXPECT_EQ(seen.header("traceparent"), "00-abc");
  EXPECT_EQ(seen.header("x-request-id"), "mine-7");
  EXPECT_EQ(seen.header("x-forwarded-for"), "127.0.0.1");
  for (const char* gone : {"x-prefiller-host-port", "x-gateway-destination-endpoint", "x-hop"}) {
    EXPECT_EQ(seen.header(gone), "(none)") << gone;
  }
  EXPECT_EQ(response.header("x-request-id"), "mine-7");
  EXPECT_EQ(response.header("x-fairlead-endpoint"), "engine-0");
  EXPECT_EQ(response.header("x-session-token"), "ZW5naW5lLTA=");
}

TEST_F(RelayTest, MakesARequestIdWhenThereIsNone) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  const std::string id = ask(chat_body()).header("x-request-id");
  EXPECT_EQ(id.size(), 36U);
  EXPECT_EQ(engine.requests[0].header("x-request-id"), id);
  EXPECT_NE(ask(chat_body()).header("x-request-id"), id);
}

TEST_F(RelayTest, PassesStreamedChunksOnAsTheyCome) {
  ScriptedEngine& engine = this->engine();
  net::ServerExchange* running = nullptr;
  engine.script = [&](net::ServerExchange& exchange) {
    running = &exchange;
    exchange.start(200, {{"content-type", "text/event-stream"}}, codec::BodyFraming::chunked());
  };
  start({engine.port()});
  Client& one = client();
  one.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([&] { return running != nullptr; }));
  running->write_chunk(kTokenEvent);
  ASSERT_TRUE(until([&] { return one.response().body == kTokenEvent; }));
  EXPECT_EQ(router_->inflight().total().unstarted, 0);
  EXPECT_EQ(router_->inflight().total().requests, 1);
  EXPECT_FALSE(one.response().complete);
  running->write_chunk(
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,"
      "\"completion_tokens\":2}}\n\n");
  running->write_chunk("data: [DONE]\n\n");
  running->finish();
  EXPECT_TRUE(wait_for(one).body.ends_with("data: [DONE]\n\n"));
  ASSERT_EQ(access_.lines.size(), 1U);
  EXPECT_EQ(logged("outcome"), "\"completed\"");
  EXPECT_EQ(logged("prompt_tokens"), "2");
  EXPECT_EQ(logged("output_tokens"), "2");
  EXPECT_NE(logged("ttft_ms"), "null");
  EXPECT_EQ(metric("fairlead_usage_tokens_total{kind=\"prompt\"}"), 9);
  EXPECT_EQ(metric("fairlead_inter_token_seconds_count"), 1);
  EXPECT_EQ(metric("fairlead_requests_total{route=\"chat_completions\",code=\"200\","
                   "outcome=\"completed\"}"),
            1);
}

TEST_F(RelayTest, EveryFramingReachesBothVersionsOfHttp) {
  const std::string kHead = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
  RawEngine& engine = raw_engine({
      {kHead + "Content-Length: 7\r\n\r\n{\"a\":1}", RawEngine::Then::kKeep},
      {kHead + "Transfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n",
       RawEngine::Then::kKeep},
      {kHead + "\r\n{\"a\":1}", RawEngine::Then::kClose},
  });
  start({engine.port()});
  for (const std::string_view version : {"1.1", "1.0"}) {
    engine.requests = 0;
    for (int framing = 0; framing < 3; ++framing) {
      Client& one = client();
      const std::string body = chat_body();
      one.send("POST /v1/chat/completions HTTP/" + std::string(version) +
               "\r\nHost: t\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
      const ClientResponse response = wait_for(one);
      EXPECT_TRUE(response.complete) << version << " " << framing;
      EXPECT_EQ(response.body, "{\"a\":1}") << version << " " << framing;
      const bool chunked = response.header("transfer-encoding") == "chunked";
      EXPECT_EQ(chunked, version == "1.1" && framing > 0) << version << " " << framing;
      EXPECT_EQ(response.header("content-length") == "7", framing == 0);
    }
  }
}

TEST_F(RelayTest, AChunkedRequestBodyIsForwardedWhole) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  const std::string body = chat_body();
  Client& one = client();
  one.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" +
      body.substr(0, 5) + "\r\n");
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", body.size() - 5);
  one.send(size + body.substr(5) + "\r\n0\r\n\r\n");
  EXPECT_EQ(wait_for(one).status, 200);
  EXPECT_EQ(engine.requests[0].body, body);
  EXPECT_EQ(engine.requests[0].header("content-length"), std::to_string(body.size()));
  EXPECT_EQ(engine.requests[0].header("transfer-encoding"), "(none)");
}

TEST_F(RelayTest, KeepsBothConnectionsForTheNextRequest) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  Client& one = client();
  for (int i = 0; i < 3; ++i) {
    one.post("/v1/chat/completions", chat_body());
    EXPECT_EQ(wait_for(one).status, 200);
    one.next();
  }
  EXPECT_EQ(engine.counters().accepted, 1U);
  worker_->report_sockets();
  EXPECT_EQ(metric("fairlead_client_connections_accepted_total"), 1);
  EXPECT_EQ(metric("fairlead_upstream_reuses_total"), 2);
}

TEST_F(RelayTest, ASlowReaderHoldsTheEngineBackAndGetsEverything) {
  // The kernel's buffers of two hops may hold some 10 MB each; we add kPendingBytesHigh.
  constexpr std::size_t kTotal = std::size_t{96} << 20;
  constexpr std::size_t kStuckMax = std::size_t{48} << 20;
  struct Producer : net::ExchangeObserver {
    void produce() {
      while (exchange != nullptr && exchange->pending_bytes() == 0 && produced < kTotal) {
        exchange->write_chunk(block);
        produced += block.size();
      }
      if (produced == kTotal && exchange != nullptr) std::exchange(exchange, nullptr)->finish();
    }
    void on_drained() override { produce(); }
    void on_client_gone() override { exchange = nullptr; }
    net::ServerExchange* exchange = nullptr;
    const std::string block = std::string(64 * 1024, 'x');
    std::size_t produced = 0;
  } producer;
  ScriptedEngine& engine = this->engine();
  engine.script = [&](net::ServerExchange& exchange) {
    producer.exchange = &exchange;
    exchange.set_observer(&producer);
    exchange.start(200, {{"content-type", "text/plain"}}, codec::BodyFraming::chunked());
    producer.produce();
  };
  start({engine.port()});
  Client& slow = client(64 * 1024);
  slow.reading = false;
  slow.post("/v1/chat/completions", chat_body());
  std::size_t last = 0;
  int quiet_turns = 0;
  ASSERT_TRUE(until([&] {
    quiet_turns = producer.produced == last && last > 0 ? quiet_turns + 1 : 0;
    last = producer.produced;
    return quiet_turns > 100;
  }));
  EXPECT_LT(producer.produced, kStuckMax);
  // Input of both sides, kPendingBytesHigh of output, and what the engine's server holds.
  EXPECT_LT(loop_->buffers().lent_bytes(), std::size_t{2} << 20);
  std::size_t received = 0;
  bool ended = false;
  slow.reading = true;
  EXPECT_TRUE(until([&] {
    received += slow.input.size();
    ended = slow.input.ends_with("\r\n0\r\n\r\n");
    slow.next();
    return ended;
  }));
  EXPECT_GT(received, kTotal);
}

TEST_F(RelayTest, AClientThatLeavesClosesTheEnginesConnectionAtOnce) {
  struct Watch : net::ExchangeObserver {
    void on_client_gone() override { gone = true; }
    bool gone = false;
  } watch;
  ScriptedEngine& engine = this->engine();
  engine.script = [&](net::ServerExchange& exchange) {
    exchange.set_observer(&watch);
    exchange.start(200, {{"content-type", "text/event-stream"}}, codec::BodyFraming::chunked());
    exchange.write_chunk(kTokenEvent);
  };
  start({engine.port()});
  Client& one = client();
  one.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([&] { return one.response().body == kTokenEvent; }));
  one.close();
  const Time left_at = loop_->now();
  ASSERT_TRUE(until([&] { return watch.gone; }));
  EXPECT_LT(loop_->now() - left_at, std::chrono::milliseconds(500));
  EXPECT_EQ(logged("outcome"), "\"client_gone\"");
  EXPECT_EQ(metric("fairlead_client_disconnects_total"), 1);
}

TEST_F(RelayTest, ALeavingClientAlsoCancelsARequestWithoutAnAnswer) {
  struct Watch : net::ExchangeObserver {
    void on_client_gone() override { gone = true; }
    bool gone = false;
  } watch;
  ScriptedEngine& engine = this->engine();
  engine.script = [&](net::ServerExchange& exchange) { exchange.set_observer(&watch); };
  start({engine.port()});
  Client& one = client();
  one.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([&] { return engine.requests.size() == 1; }));
  EXPECT_EQ(router_->inflight().total().requests, 1);
  one.close();
  ASSERT_TRUE(until([&] { return watch.gone; }));
  EXPECT_EQ(logged("status"), "499");
}

TEST_F(RelayTest, AnswersTheModelListMergedOverTheFleet) {
  ScriptedEngine& engine = this->engine();
  start({engine.port(), engine.port()});
  Client& one = client();
  one.send("GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n");
  const ClientResponse response = wait_for(one);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("content-type"), "application/json");
  const std::size_t m = response.body.find(R"("id":"m")");
  const std::size_t m0 = response.body.find(R"("id":"m-0")");
  const std::size_t m1 = response.body.find(R"("id":"m-1")");
  ASSERT_TRUE(m0 != std::string::npos && m1 != std::string::npos) << response.body;
  EXPECT_TRUE(m < m0 && m0 < m1) << response.body;
  EXPECT_EQ(response.body.find(R"("id":"m")", m + 1), std::string::npos);
  publish({engine.port()});
  one.next();
  one.send("GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(wait_for(one).body.find("m-1"), std::string::npos);
  EXPECT_TRUE(engine.requests.empty());
}

TEST_F(RelayTest, RoutesByModelAndRefusesUnknownOnes) {
  ScriptedEngine& zero = engine();
  ScriptedEngine& one = engine();
  start({zero.port(), one.port()});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(chat_body("hi", "m-1")).status, 200);
  EXPECT_EQ(zero.requests.size(), 0U);
  EXPECT_EQ(one.requests.size(), 3U);
  const ClientResponse unknown = ask(chat_body("hi", "gpt-9"));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.header("x-fairlead-reason"), "unknown_model");
  EXPECT_NE(unknown.body.find(R"("param":"model","code":"model_not_found")"), std::string::npos);
  EXPECT_NE(unknown.body.find("'gpt-9'"), std::string::npos);
  EXPECT_EQ(metric("fairlead_replies_total{reason=\"unknown_model\"}"), 1);
}

TEST_F(RelayTest, RefusesUnknownPathsWrongMethodsAndMalformedBodies) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  EXPECT_EQ(ask("{}", "/metrics").status, 404);
  Client& wrong = client();
  wrong.send("GET /v1/chat/completions HTTP/1.1\r\nHost: t\r\n\r\n");
  const ClientResponse method = wait_for(wrong);
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(method.header("allow"), "POST");
  const ClientResponse broken = ask("{\"model\":\"m\",");
  EXPECT_EQ(broken.status, 400);
  EXPECT_EQ(broken.header("x-fairlead-reason"), "bad_request");
  const ClientResponse missing = ask("{\"messages\":[]}");
  EXPECT_NE(missing.body.find("\"param\":\"model\""), std::string::npos) << missing.body;
  EXPECT_TRUE(engine.requests.empty());
}

TEST_F(RelayTest, TheLogTellsTheDecisionAndNeitherPromptNorKey) {
  ScriptedEngine& engine = this->engine();
  start({engine.port(), engine.port()});
  ask(chat_body("my-secret-prompt"), "/v1/chat/completions?api_key=sk-query",
      "Authorization: Bearer sk-header\r\n");
  ASSERT_EQ(access_.lines.size(), 1U);
  EXPECT_EQ(access_.lines[0].find("secret"), std::string::npos);
  EXPECT_EQ(access_.lines[0].find("sk-"), std::string::npos);
  EXPECT_EQ(logged("reason"), "\"no_scorer\"");
  EXPECT_EQ(logged("candidates"), "2");
  EXPECT_EQ(logged("attempts"), "1");
  EXPECT_EQ(logged("model"), "\"m\"");
  EXPECT_EQ(logged("client"), "\"127.0.0.1\"");
  EXPECT_EQ(logged("path"), "\"/v1/chat/completions\"");
  EXPECT_EQ(metric("fairlead_decisions_total{reason=\"no_scorer\"}"), 1);
}

TEST_F(RelayTest, WritesThePromptDownOnceItHasLeft) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  const std::string prompt(8 * 1024, 'p');
  ask(chat_body(prompt));
  EXPECT_EQ(logged("predicted_cached_tokens"), "0");
  ask(chat_body(prompt + "more"));
  EXPECT_EQ(logged("predicted_cached_tokens"), "2048");
  EXPECT_EQ(metric("fairlead_predicted_cached_tokens_total"), 2048);
}

TEST_F(RelayTest, ARequestBeingAnsweredIsAlreadyInTheHistory) {
  ScriptedEngine& engine = this->engine();
  engine.script = [](net::ServerExchange&) {};
  start({engine.port()});
  Client& one = client();
  one.post("/v1/chat/completions", chat_body(std::string(4096, 'p')));
  ASSERT_TRUE(until([&] { return engine.requests.size() == 1; }));
  EXPECT_GT(router_->history().memory_bytes(), 0U);
  Client& two = client();
  two.post("/v1/chat/completions", chat_body(std::string(4096, 'p')));
  ASSERT_TRUE(until([&] { return engine.requests.size() == 2; }));
  EXPECT_EQ(metric("fairlead_predicted_cached_tokens_total"), 1023);
}

TEST_F(RelayTest, FourHundredsOfTheEngineAreTheClientsAffair) {
  ScriptedEngine& engine = this->engine();
  engine.script = [](net::ServerExchange& exchange) {
    exchange.send_response(422, {{"content-type", "application/json"}}, "{\"detail\":\"no\"}");
  };
  start({engine.port()});
  const ClientResponse response = ask(chat_body());
  EXPECT_EQ(response.status, 422);
  EXPECT_EQ(response.body, "{\"detail\":\"no\"}");
  EXPECT_EQ(response.header("x-fairlead-reason"), "(none)");
  EXPECT_EQ(logged("outcome"), "\"completed\"");
}

TEST_F(RelayTest, DecisionsAreKeptUnderTheRequestsIdAndUsageCountsForItsEndpoint) {
  ScriptedEngine& engine = this->engine();
  engine.script = [](net::ServerExchange& exchange) {
    exchange.send_response(200, {{"content-type", "application/json"}},
                           R"({"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,)"
                           R"("prompt_tokens_details":{"cached_tokens":8}}})");
  };
  RawEngine& broken = raw_engine({{"", RawEngine::Then::kClose}});
  start({broken.port(), engine.port()});
  for (const char* id : {"one", "two"}) {
    EXPECT_EQ(ask(chat_body(), "/v1/chat/completions", "X-Request-Id: " + std::string(id) + "\r\n")
                  .status,
              200);
  }
  const auto one = router_->decisions().find("one");
  const auto two = router_->decisions().find("two");
  ASSERT_EQ(one.size() + two.size(), 3U) << "one of them was tried twice";
  const auto& tried_twice = one.size() == 2 ? one : two;
  EXPECT_EQ(tried_twice[0].decision.attempts, 2U);
  EXPECT_EQ(tried_twice[0].decision.endpoint.slot, 1U);
  ASSERT_EQ(tried_twice[0].excluded.size(), 1U);
  EXPECT_EQ(tried_twice[0].excluded[0].why, picker::Exclusion::kTried);
  EXPECT_EQ(tried_twice[0].model, "m");
  const fleet::Traffic traffic = router_->traffic().read(1);
  EXPECT_EQ(traffic.decisions, 2U);
  EXPECT_EQ(router_->traffic().read(0).decisions, 1U);
  EXPECT_EQ(traffic.reported_prompt_tokens, 18U);
  EXPECT_EQ(traffic.reported_cached_tokens, 16U);
  EXPECT_EQ(traffic.reported_output_tokens, 8U);
}

}  // namespace
}  // namespace fairlead::gateway
