// SPDX-License-Identifier: Apache-2.0
// Traces: what engines are told, and which spans of a request are handed over.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

constexpr std::string_view kOn = "tracing: {endpoint: 'http://127.0.0.1:1', sampleRatio: 1}\n";
constexpr std::string_view kParentOnly = "tracing: {endpoint: '127.0.0.1:1', sampleRatio: 0}\n";
constexpr std::string_view kSampled =
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=1\r\n";
constexpr std::string_view kUnsampled =
    "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\nTracestate: a=1\r\n";

class TraceTest : public GatewayTest {
 protected:
  // Of the one request whose spans wait.
  nlohmann::json spans() {
    std::vector<codec::OtlpSpans> all;
    router_->traces().drain(all);
    EXPECT_EQ(all.size(), 1U);
    if (all.empty()) return {};
    nlohmann::json list = nlohmann::json::parse("[" + all.front().json + "]");
    EXPECT_EQ(list.size(), all.front().count);
    return list;
  }
  bool nothing_waits() {
    std::vector<codec::OtlpSpans> all;
    router_->traces().drain(all);
    return all.empty();
  }
  static std::string attribute(const nlohmann::json& span, std::string_view key) {
    for (const auto& one : span["attributes"]) {
      if (one["key"] == key) return one["value"].begin().value();
    }
    return "(none)";
  }
};

TEST_F(TraceTest, ASampledRequestHasASpanAndOneForItsTry) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()}, kParentOnly);
  EXPECT_EQ(ask(chat_body("secret words"), "/v1/chat/completions?key=secret",
                std::string(kSampled) + "Authorization: Bearer secret\r\n")
                .status,
            200);
  const nlohmann::json all = spans();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0]["traceId"], "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(all[0]["parentSpanId"], "b7ad6b7169203331");
  EXPECT_EQ(all[0]["traceState"], "a=1");
  EXPECT_EQ(all[1]["parentSpanId"], all[0]["spanId"]);
  EXPECT_EQ(engine.requests[0].header("traceparent"),
            "00-0af7651916cd43dd8448eb211c80319c-" + std::string(all[1]["spanId"]) + "-01");
  EXPECT_EQ(engine.requests[0].header("tracestate"), "a=1");
  EXPECT_EQ(attribute(all[0], "http.response.status_code"), "200");
  EXPECT_EQ(attribute(all[0], "gen_ai.request.model"), "m");
  EXPECT_EQ(attribute(all[1], "server.port"), std::to_string(engine.port()));
  EXPECT_EQ(attribute(all[1], "fairlead.endpoint"), "engine-0");
  EXPECT_EQ(all[0]["events"][0]["name"], "first_token");
  EXPECT_LE(all[0]["startTimeUnixNano"], all[1]["startTimeUnixNano"]);
  EXPECT_EQ(all.dump().find("secret"), std::string::npos);
  EXPECT_EQ(metric("fairlead_traced_requests_total"), 1);
}

TEST_F(TraceTest, WhatIsNotSampledPassesOnAsItCame) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()}, kOn);
  EXPECT_EQ(ask(chat_body(), "/v1/chat/completions", kUnsampled).status, 200);
  EXPECT_EQ(engine.requests[0].header("traceparent"),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
  EXPECT_EQ(engine.requests[0].header("tracestate"), "a=1");
  EXPECT_TRUE(nothing_waits());
  EXPECT_EQ(metric("fairlead_traced_requests_total"), 0);
}

TEST_F(TraceTest, WithoutACollectorNothingIsRead) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()});
  ask(chat_body(), "/v1/chat/completions", "traceparent: nonsense\r\ntracestate: ?\r\n");
  EXPECT_EQ(engine.requests[0].header("traceparent"), "nonsense");
  EXPECT_EQ(engine.requests[0].header("tracestate"), "?");
  ask(chat_body(), "/v1/chat/completions", kSampled);
  EXPECT_TRUE(nothing_waits());
  EXPECT_EQ(metric("fairlead_trace_context_invalid_total{header=\"traceparent\"}"), 0);
}

TEST_F(TraceTest, AMalformedContextIsCountedAndTheTraceBeginsAnew) {
  ScriptedEngine& engine = this->engine();
  start({engine.port()}, kOn);
  ask(chat_body(), "/v1/chat/completions", "traceparent: nonsense\r\ntracestate: a=1\r\n");
  const nlohmann::json all = spans();
  EXPECT_FALSE(all[0].contains("parentSpanId"));
  EXPECT_EQ(engine.requests[0].header("traceparent").substr(3, 32),
            all[0]["traceId"].get<std::string>());
  EXPECT_EQ(engine.requests[0].header("tracestate"), "(none)");
  EXPECT_EQ(metric("fairlead_trace_context_invalid_total{header=\"traceparent\"}"), 1);
  ask(chat_body(), "/v1/chat/completions",
      "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: ?\r\n");
  EXPECT_EQ(engine.requests[1].header("tracestate"), "(none)");
  EXPECT_EQ(metric("fairlead_trace_context_invalid_total{header=\"tracestate\"}"), 1);
  nothing_waits();
}

TEST_F(TraceTest, EveryTryHasASpanWithItsFailure) {
  RawEngine& broken = raw_engine({{"", RawEngine::Then::kReset}});
  ScriptedEngine& engine = this->engine();
  start({broken.port(), engine.port()}, kOn);
  while (broken.requests == 0) {
    nothing_waits();
    ASSERT_EQ(ask(chat_body()).status, 200);
  }
  const nlohmann::json all = spans();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(attribute(all[1], "error.type"), "reset_before_response");
  EXPECT_EQ(all[1]["status"]["code"], 2);
  EXPECT_EQ(attribute(all[2], "error.type"), "(none)");
  EXPECT_EQ(attribute(all[2], "http.request.resend_count"), "1");
  EXPECT_TRUE(all[0]["status"].empty());
}

TEST_F(TraceTest, ARefusalIsASpanWithoutATry) {
  start({}, kOn);
  EXPECT_EQ(ask(chat_body()).status, 503);
  nlohmann::json all = spans();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(attribute(all[0], "error.type"), "no_endpoint");
  EXPECT_EQ(all[0]["status"]["code"], 2);
  EXPECT_EQ(ask("{}", "/nowhere").status, 404);
  all = spans();
  EXPECT_EQ(attribute(all[0], "http.response.status_code"), "404");
  EXPECT_EQ(all[0]["name"], "POST");
}

TEST_F(TraceTest, AClientThatLeavesEndsTheTry) {
  ScriptedEngine& engine = this->engine();
  engine.script = [](net::ServerExchange&) {};
  start({engine.port()}, kOn);
  Client& one = client();
  one.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([&] { return !engine.requests.empty(); }));
  one.close();
  ASSERT_TRUE(until([&] { return worker_->requests_running() == 0; }));
  const nlohmann::json all = spans();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(attribute(all[0], "fairlead.outcome"), "client_gone");
  EXPECT_EQ(attribute(all[1], "error.type"), "client_gone");
}

}  // namespace
}  // namespace fairlead::gateway
