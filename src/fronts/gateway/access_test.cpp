// SPDX-License-Identifier: Apache-2.0
// Keys, their limits, the engines' key, web pages and compressed bodies at the gateway.
#include <gtest/gtest.h>

#include <string>

#include "core/codec/testing/gzip.h"
#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

using codec::testing::gzip;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kKeyA = "Authorization: Bearer sk-a\r\n";

class AccessTest : public GatewayTest {
 protected:
  // Neither what engines got nor what was logged may hold any client's key.
  ~AccessTest() override {
    for (const auto& engine : engines_) {
      for (const ScriptedEngine::Received& seen : engine->requests) {
        for (const auto& [name, value] : seen.headers) {
          EXPECT_EQ(value.find("sk-"), std::string::npos) << name;
        }
      }
    }
    for (const std::string& line : access_.lines) EXPECT_EQ(line.find("sk-"), std::string::npos);
  }

  void expect_refused(const ClientResponse& response, int status, std::string_view reason) {
    EXPECT_EQ(response.status, status);
    EXPECT_EQ(response.header("x-fairlead-reason"), reason);
    EXPECT_TRUE(response.body.starts_with("{\"error\":{\"message\":")) << response.body;
  }
  // A non-streamed answer with this usage.
  static std::string usage(int prompt, int output) {
    return "{\"choices\":[],\"usage\":{\"prompt_tokens\":" + std::to_string(prompt) +
           ",\"completion_tokens\":" + std::to_string(output) + "}}";
  }
};

TEST_F(AccessTest, OnlyKnownKeysAreLetIn) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  set_keys({{"a", ""}, {"b", ""}});
  EXPECT_EQ(ask(chat_body(), kChat, kKeyA).status, 200);
  EXPECT_EQ(logged("tenant"), "\"a\"");
  EXPECT_EQ(ask(chat_body(), kChat, "x-api-key: sk-b\r\n").status, 200);
  EXPECT_EQ(logged("tenant"), "\"b\"");
  EXPECT_EQ(ask(chat_body(), kChat, "api-key: sk-b\r\n").status, 200);
  EXPECT_EQ(engine.requests.size(), 3U);
  for (const std::string& wrong :
       {std::string(), std::string("Authorization: Bearer sk-c\r\n"),
        std::string("Authorization: Basic sk-a\r\n"), std::string("Authorization: sk-a\r\n"),
        "Authorization: Bearer " + std::string(5000, 'x') + "\r\n"}) {
    const ClientResponse response = ask(chat_body(), kChat, wrong);
    expect_refused(response, 401, "unauthorized");
    EXPECT_EQ(response.header("www-authenticate"), "Bearer");
    EXPECT_EQ(logged("tenant"), "null");
  }
  expect_refused(ask("not even JSON"), 401, "unauthorized");
  Client& models = client();
  models.send("GET /v1/models HTTP/1.1\r\nHost: t\r\n\r\n");
  expect_refused(wait_for(models), 401, "unauthorized");
  EXPECT_EQ(engine.requests.size(), 3U);
  EXPECT_EQ(metric("fairlead_replies_total{reason=\"unauthorized\"}"), 7);
}

TEST_F(AccessTest, BodiesOfStrangersAndForNothingAreNotRead) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  set_keys({{"a", ""}});
  const std::string body = chat_body(std::string(200'000, 'x'));
  const std::string length = "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  const std::string head = " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n";
  Client& stranger = client();
  stranger.send("POST /v1/chat/completions" + head + length + body.substr(0, 70'000));
  expect_refused(wait_for(stranger), 401, "unauthorized");
  EXPECT_TRUE(until([&] { return stranger.closed || stranger.reset; })) << "behind the answer";
  Client& chunked = client();
  chunked.send("POST /v1/chat/completions" + head + "Transfer-Encoding: chunked\r\n\r\n");
  expect_refused(wait_for(chunked), 401, "unauthorized");
  Client& lost = client();
  lost.send("POST /nothing" + head + std::string(kKeyA) + length);
  expect_refused(wait_for(lost), 404, "not_found");
  EXPECT_EQ(engine.requests.size(), 0U);
  EXPECT_EQ(ask(body, kChat, kKeyA).status, 200) << "and who has a key is heard out";
}

TEST_F(AccessTest, AnEmptyListLetsNobodyIn) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  router_->access().publish(std::make_shared<const access::AccessRules>(
      access::AccessRules{access::KeyTable({}, access::KeyTable()), ""}));
  expect_refused(ask(chat_body(), kChat, kKeyA), 401, "unauthorized");
}

TEST_F(AccessTest, EnginesGetTheirOwnKeyAndNeverAClients) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  set_keys({{"a", ""}}, "Bearer engine-key");
  ask(chat_body(), kChat, std::string(kKeyA) + "x-api-key: sk-a\r\napi-key: sk-a\r\n");
  ASSERT_EQ(engine.requests.size(), 1U);
  EXPECT_EQ(engine.requests[0].header("authorization"), "Bearer engine-key");
  EXPECT_EQ(engine.requests[0].header("x-api-key"), "(none)");
  EXPECT_EQ(engine.requests[0].header("api-key"), "(none)");
}

TEST_F(AccessTest, WithoutKeysTheEnginesKeyReplacesTheClients) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  router_->access().publish(std::make_shared<const access::AccessRules>(
      access::AccessRules{access::KeyTable(), "Bearer engine-key"}));
  EXPECT_EQ(ask(chat_body(), kChat, kKeyA).status, 200);
  EXPECT_EQ(engine.requests[0].header("authorization"), "Bearer engine-key");
}

TEST_F(AccessTest, AKeyMayBeLimitedToModels) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  set_keys({{"a", ", models: [m]"}});
  EXPECT_EQ(ask(chat_body(), kChat, kKeyA).status, 200);
  const ClientResponse refused = ask(chat_body("hello", "m-0"), kChat, kKeyA);
  expect_refused(refused, 403, "model_not_allowed");
  EXPECT_NE(refused.body.find("\"param\":\"model\""), std::string::npos);
  EXPECT_EQ(logged("tenant"), "\"a\"");
  expect_refused(ask(R"({"model":"m-0","input":"x"})", "/pooling", kKeyA), 403,
                 "model_not_allowed");
  EXPECT_EQ(engine.requests.size(), 1U);
}

TEST_F(AccessTest, ConcurrencyIsExactAndComesBackHoweverARequestEnds) {
  ScriptedEngine& engine = this->engine();
  std::vector<net::ServerExchange*> running;
  engine.script = [&](net::ServerExchange& exchange) { running.push_back(&exchange); };
  start({engine.port()}, "limits: {retry: {maxAttempts: 1}}");
  set_keys({{"a", ", limits: {concurrency: 2}"}, {"b", ""}});
  Client& one = client();
  one.post(kChat, chat_body(), kKeyA);
  Client& two = client();
  two.post(kChat, chat_body(), kKeyA);
  ASSERT_TRUE(until([&] { return running.size() == 2; }));
  const ClientResponse refused = ask(chat_body(), kChat, kKeyA);
  expect_refused(refused, 429, "rate_limited_concurrency");
  EXPECT_EQ(refused.header("retry-after"), "1");
  EXPECT_EQ(key("a").usage->figures().running, 2U);
  Client& other = client();
  other.post(kChat, chat_body(), "x-api-key: sk-b\r\n");
  ASSERT_TRUE(until([&] { return running.size() == 3; })) << "limits are a key's own";
  one.close();
  EXPECT_TRUE(until([&] { return key("a").usage->figures().running == 1; }));
  running[1]->abort();
  expect_refused(wait_for(two), 502, "upstream_failed");
  EXPECT_EQ(key("a").usage->figures().running, 0U);
  running[2]->send_response(200, {}, "{}");
  EXPECT_EQ(wait_for(other).status, 200);
}

TEST_F(AccessTest, RequestsPerMinuteAreLimited) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  set_keys({{"a", ", limits: {requestsPerMinute: 2}"}});
  EXPECT_EQ(ask(chat_body(), kChat, kKeyA).status, 200);
  EXPECT_EQ(ask(chat_body(), kChat, kKeyA).status, 200);
  const ClientResponse refused = ask(chat_body(), kChat, kKeyA);
  expect_refused(refused, 429, "rate_limited_requests");
  EXPECT_GE(std::stoi(refused.header("retry-after")), 25);
  EXPECT_NE(refused.body.find("\"code\":\"rate_limit_exceeded\""), std::string::npos);
  EXPECT_EQ(engine.requests.size(), 2U);
  EXPECT_EQ(key("a").usage->refused(access::Refusal::kRequests), 1U);
}

TEST_F(AccessTest, TokensAreCountedByTheEnginesUsage) {
  ScriptedEngine& engine = this->engine();
  engine.script = [&](net::ServerExchange& exchange) {
    exchange.send_response(200, {{"content-type", "application/json"}}, usage(300, 800));
  };
  start({engine.port()});
  set_keys({{"a", ", limits: {tokensPerMinute: 1000}"}});
  EXPECT_EQ(ask(chat_body(), kChat, kKeyA).status, 200);
  EXPECT_EQ(key("a").usage->figures().prompt_tokens, 300U);
  EXPECT_EQ(key("a").usage->figures().output_tokens, 800U);
  const ClientResponse refused = ask(chat_body(), kChat, kKeyA);
  expect_refused(refused, 429, "rate_limited_tokens");
  EXPECT_GE(std::stoi(refused.header("retry-after")), 6);
}

TEST_F(AccessTest, WithoutUsageAnEventIsATokenAndNothingIsAddedToTheRequest) {
  ScriptedEngine& engine = this->engine();
  engine.script = [&](net::ServerExchange& exchange) {
    exchange.start(200, {{"content-type", "text/event-stream"}}, codec::BodyFraming::chunked());
    for (int i = 0; i < 5; ++i) exchange.write_chunk(kTokenEvent);
    exchange.write_chunk("data: [DONE]\n\n");
    exchange.finish();
  };
  start({engine.port()});
  set_keys({{"a", ""}});
  const std::string body =
      R"({"model":"m","stream":true,"messages":[{"role":"user","content":"0123456789abcdef"}]})";
  EXPECT_EQ(ask(body, kChat, kKeyA).status, 200);
  EXPECT_EQ(engine.requests[0].body, body);
  EXPECT_EQ(key("a").usage->figures().prompt_tokens, 4U) << "16 bytes";
  EXPECT_EQ(key("a").usage->figures().output_tokens, 5U);
}

TEST_F(AccessTest, WhatNobodyAnsweredIsNotCharged) {
  start({});
  set_keys({{"a", ", limits: {tokensPerMinute: 10}"}});
  for (int i = 0; i < 5; ++i) {
    expect_refused(ask(chat_body("0123456789abcdef0123456789abcdef"), kChat, kKeyA), 503,
                   "no_endpoint");
  }
  EXPECT_EQ(key("a").usage->figures().prompt_tokens, 0U);
}

TEST_F(AccessTest, AKeyThatIsRemovedEndsNoRunningRequest) {
  ScriptedEngine& engine = this->engine();
  net::ServerExchange* running = nullptr;
  engine.script = [&](net::ServerExchange& exchange) { running = &exchange; };
  start({engine.port()});
  set_keys({{"a", ""}});
  Client& one = client();
  one.post(kChat, chat_body(), kKeyA);
  ASSERT_TRUE(until([&] { return running != nullptr; }));
  set_keys({{"b", ""}});
  expect_refused(ask(chat_body(), kChat, kKeyA), 401, "unauthorized");
  running->send_response(200, {}, "{}");
  EXPECT_EQ(wait_for(one).status, 200);
  EXPECT_EQ(logged("tenant"), "\"a\"");
}

TEST_F(AccessTest, AKeyThatWasCheckedIsNotForwardedWhenNobodyIsAskedAnyMore) {
  net::ServerExchange* running = nullptr;
  for (int i = 0; i < 2; ++i) {
    engine().script = [&](net::ServerExchange& exchange) { running = &exchange; };
  }
  start({engines_[0]->port(), engines_[1]->port()});
  set_keys({{"a", ""}});
  Client& one = client();
  one.post(kChat, chat_body(), kKeyA);
  ASSERT_TRUE(until([&] { return running != nullptr; }));
  router_->access().publish(std::make_shared<const access::AccessRules>());
  std::exchange(running, nullptr)->abort();
  ASSERT_TRUE(until([&] { return running != nullptr; })) << "tried elsewhere";
  running->send_response(200, {}, "{}");
  EXPECT_EQ(wait_for(one).status, 200);
}

using CorsTest = GatewayTest;

TEST_F(CorsTest, IsOffByDefault) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  const ClientResponse response = ask(chat_body(), kChat, "Origin: https://a.example\r\n");
  EXPECT_EQ(response.header("access-control-allow-origin"), "(none)");
  Client& asking = client();
  asking.send(
      "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: t\r\nOrigin: https://a.example\r\n"
      "Access-Control-Request-Method: POST\r\n\r\n");
  EXPECT_EQ(wait_for(asking).status, 405);
}

TEST_F(CorsTest, AnswersPreflightsWithoutAKeyAndMarksEveryAnswer) {
  ScriptedEngine& engine = this->engine();
  engine.script = [](net::ServerExchange& exchange) {
    exchange.send_response(200, {{"access-control-allow-origin", "*"}}, "{}");
  };
  start({engine.port()}, "gateway: {cors: {allowOrigins: [\"https://a.example\"]}}");
  set_keys({{"a", ""}});
  const std::string origin = "Origin: https://a.example\r\n";
  Client& asking = client();
  asking.send("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: t\r\n" + origin +
              "Access-Control-Request-Method: POST\r\n"
              "Access-Control-Request-Headers: authorization\r\n\r\n");
  const ClientResponse preflight = wait_for(asking);
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.header("access-control-allow-origin"), "https://a.example");
  EXPECT_EQ(preflight.header("access-control-allow-headers"), "authorization");
  const ClientResponse good = ask(chat_body(), kChat, origin + kKeyA);
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.header("access-control-allow-origin"), "https://a.example");
  const ClientResponse refused = ask(chat_body(), kChat, origin);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.header("access-control-allow-origin"), "https://a.example");
  const ClientResponse other = ask(chat_body(), kChat, "Origin: https://b.example\r\n");
  EXPECT_EQ(other.header("access-control-allow-origin"), "(none)");
  EXPECT_EQ(engine.requests.size(), 1U);
}

// A key is looked up when the head is there, and not again with the body, unless keys changed.
TEST_F(AccessTest, AKeyHoldsForItsRequestAloneAndForTheKeysInForce) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  set_keys({{"a", ""}, {"b", ""}});
  const std::string body = chat_body(std::string(40'000, 'x'));
  const auto head = [&](const char* name) {
    return "POST " + std::string(kChat) + " HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer sk-" +
           name + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  };
  const auto begin = [&](const char* name) -> Client& {
    Client& one = client();
    one.send(head(name) + body.substr(0, 10));
    for (int i = 0; i < 20; ++i) turn();
    return one;
  };
  Client& b = begin("b");
  Client& a = begin("a");
  a.send(body.substr(10));
  EXPECT_EQ(wait_for(a).status, 200);
  EXPECT_EQ(logged("tenant"), "\"a\"");
  b.send(body.substr(10));
  EXPECT_EQ(wait_for(b).status, 200);
  EXPECT_EQ(logged("tenant"), "\"b\"");
  // The next request of a connection is looked up for itself, though its body comes at once.
  a.next();
  a.post(kChat, chat_body(), "Authorization: Bearer sk-b\r\n");
  EXPECT_EQ(wait_for(a).status, 200);
  EXPECT_EQ(logged("tenant"), "\"b\"");
  Client& gone = begin("b");
  Client& moved = begin("b");
  set_keys({{"a", ""}});
  gone.send(body.substr(10));
  EXPECT_EQ(wait_for(gone).status, 401);
  set_keys({{"0", ""}, {"b", ""}});
  moved.send(body.substr(10));
  EXPECT_EQ(wait_for(moved).status, 200);
  EXPECT_EQ(logged("tenant"), "\"b\"");
}

class GzipTest : public GatewayTest {
 protected:
  static constexpr const char* kGzip = "Content-Encoding: gzip\r\n";
};

TEST_F(GzipTest, AGzipBodyIsReadAndForwardedPlain) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  const std::string noise = chat_body("0123456789 and so on");
  EXPECT_EQ(ask(gzip(noise), kChat, kGzip).status, 200);
  ASSERT_EQ(engine.requests.size(), 1U);
  EXPECT_EQ(engine.requests[0].body, noise);
  EXPECT_EQ(engine.requests[0].header("content-encoding"), "(none)");
  EXPECT_EQ(engine.requests[0].header("content-length"), std::to_string(noise.size()));
  EXPECT_EQ(logged("model"), "\"m\"");
  EXPECT_EQ(logged("request_bytes"), std::to_string(gzip(noise).size()));
  const std::string input = R"({"model":"m","input":"x"})";
  EXPECT_EQ(ask(gzip(input), "/v1/embeddings", kGzip).status, 200);
  ASSERT_EQ(engine.requests.size(), 2U);
  EXPECT_EQ(engine.requests[1].body, input);
}

TEST_F(GzipTest, ADecodedBodyIsTriedElsewhereToo) {
  ScriptedEngine& bad = this->engine();
  bad.script = [](net::ServerExchange& exchange) { exchange.abort(); };
  ScriptedEngine& good = this->engine();
  start({bad.port(), good.port()});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(ask(gzip(chat_body()), kChat, kGzip).status, 200);
  EXPECT_EQ(good.requests.size(), 2U);
  for (const ScriptedEngine::Received& seen : good.requests) EXPECT_EQ(seen.body, chat_body());
}

TEST_F(GzipTest, BadBodiesAndBombsAreRefused) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()}, "limits: {bodyBytes: 1Mi}");
  const ClientResponse malformed = ask(chat_body(), kChat, kGzip);
  EXPECT_EQ(malformed.status, 400);
  EXPECT_NE(malformed.body.find("not valid gzip"), std::string::npos);
  EXPECT_EQ(ask(gzip(chat_body()).substr(0, 30), kChat, kGzip).status, 400);
  const std::string bomb = gzip(std::string(std::size_t{2} << 20, ' '));
  EXPECT_EQ(ask(bomb, kChat, kGzip).status, 413);
  const std::string dense = gzip(chat_body(std::string(500'000, 'x')));
  const ClientResponse by_ratio = ask(dense, kChat, kGzip);
  EXPECT_EQ(by_ratio.status, 413);
  EXPECT_EQ(by_ratio.header("x-fairlead-reason"), "too_large");
  const ClientResponse other = ask(chat_body(), kChat, "Content-Encoding: br\r\n");
  EXPECT_EQ(other.status, 415);
  EXPECT_EQ(other.header("x-fairlead-reason"), "unsupported_encoding");
  EXPECT_EQ(other.header("accept-encoding"), "gzip");
  EXPECT_TRUE(engine.requests.empty());
  EXPECT_EQ(ask(gzip(chat_body()), kChat, kGzip).status, 200);
}

class GzipSliceTest : public GatewayTest {
 protected:
  // A prompt of 16 MiB that shrinks to a twentieth, sent compressed and received whole.
  Client& send_large(ScriptedEngine& engine, std::size_t cut = 0) {
    start({engine.port()});
    Random random(3);
    std::string content;
    while (content.size() < std::size_t{16} << 20) {
      for (int i = 0; i < 64; ++i) content += static_cast<char>('a' + random.below(26));
      content.append(1200, 'x');
    }
    plain_ = chat_body(content);
    const std::string encoded = gzip(plain_);
    EXPECT_LT(encoded.size() * 15, plain_.size());
    Client& one = client();
    one.post(kChat, std::string_view(encoded).substr(0, encoded.size() - cut),
             "Content-Encoding: gzip\r\n");
    EXPECT_TRUE(until([&] { return metric("fairlead_bodies_decoding") == 1; }));
    return one;
  }
  void expect_idle() {
    EXPECT_TRUE(until([&] { return worker_->requests_running() == 0; }));
    EXPECT_EQ(metric("fairlead_bodies_decoding"), 0);
  }

  std::string plain_;
};

TEST_F(GzipSliceTest, OthersAreServedWhileALargeBodyIsDecoded) {
  ScriptedEngine& engine = this->engine();
  Client& large = send_large(engine);
  EXPECT_EQ(ask(chat_body("small")).status, 200);
  EXPECT_EQ(ask(gzip(chat_body("small")), kChat, "Content-Encoding: gzip\r\n").status, 200);
  ASSERT_EQ(engine.requests.size(), 2U) << "the large one is not there yet";
  EXPECT_EQ(metric("fairlead_bodies_decoding"), 1);
  EXPECT_EQ(wait_for(large).status, 200);
  ASSERT_EQ(engine.requests.size(), 3U);
  EXPECT_TRUE(engine.requests[2].body == plain_);
  expect_idle();
}

TEST_F(GzipSliceTest, ABodyThatIsCutOffIsRefusedWhenItsEndIsReached) {
  ScriptedEngine& engine = this->engine();
  EXPECT_EQ(wait_for(send_large(engine, 1)).status, 400);
  expect_idle();
  EXPECT_TRUE(engine.requests.empty());
}

TEST_F(GzipSliceTest, AClientThatLeavesMeanwhileEndsTheDecoding) {
  ScriptedEngine& engine = this->engine();
  send_large(engine).abort();
  expect_idle();
  EXPECT_EQ(logged("outcome"), "\"client_gone\"");
  EXPECT_TRUE(engine.requests.empty());
  EXPECT_EQ(ask(gzip(chat_body()), kChat, "Content-Encoding: gzip\r\n").status, 200);
}

}  // namespace
}  // namespace fairlead::gateway
