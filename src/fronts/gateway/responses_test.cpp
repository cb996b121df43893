// SPDX-License-Identifier: Apache-2.0
// A request of /v1/responses that continues an answer goes to the endpoint that made it.
#include <gtest/gtest.h>

#include <string>

#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

constexpr std::string_view kPath = "/v1/responses";

class ResponsesTest : public GatewayTest {
 protected:
  // Whole answers whose ids name the engine.
  ScriptedEngine& numbered_engine() {
    ScriptedEngine& engine = this->engine();
    engine.script = [&engine](net::ServerExchange& exchange) {
      exchange.send_response(
          200, {{"content-type", "application/json"}},
          fmt::format(R"({{"id":"resp_{}_{}","object":"response","output":[{{"id":"msg"}}]}})",
                      engine.port(), engine.requests.size()));
    };
    return engine;
  }
  std::string begin() {
    const std::string body = ask(R"({"model":"m","input":"x"})", kPath).body;
    return body.substr(7, body.find('"', 7) - 7);
  }
  ClientResponse go_on(const std::string& id) {
    return ask(R"({"model":"m","input":"x","previous_response_id":")" + id + "\"}", kPath);
  }
  double holders(const std::string& holder) const {
    return metric("fairlead_previous_responses_total{holder=\"" + holder + "\"}");
  }
};

TEST_F(ResponsesTest, AnAnswerIsContinuedWhereItWasMade) {
  ScriptedEngine& one = numbered_engine();
  ScriptedEngine& two = numbered_engine();
  ScriptedEngine& three = numbered_engine();
  start({one.port(), two.port(), three.port()});
  for (int i = 0; i < 4; ++i) {
    const std::string id = begin();
    const std::string port = id.substr(5, id.find('_', 5) - 5);
    for (int turn = 0; turn < 3; ++turn) {
      EXPECT_NE(go_on(id).body.find("resp_" + port + "_"), std::string::npos);
    }
  }
  EXPECT_EQ(holders("found"), 12);
  EXPECT_EQ(metric("fairlead_decisions_total{reason=\"holder\"}"), 12);
  EXPECT_EQ(logged("reason"), "\"holder\"");
}

TEST_F(ResponsesTest, AStreamsIdIsKnownBeforeItsClientSeesIt) {
  ScriptedEngine& one = numbered_engine();
  ScriptedEngine& two = numbered_engine();
  const auto stream = [](net::ServerExchange& exchange) {
    exchange.start(200, {{"content-type", "text/event-stream"}}, codec::BodyFraming::chunked());
    for (const char* piece : {"event: response.created\ndata: {\"response\":{\"i", "d\":\"resp_",
                              "7\",\"status\":\"in_progress\"}}\n\n"}) {
      exchange.write_chunk(piece);
    }
  };
  start({one.port(), two.port()});
  auto script = one.script;
  one.script = two.script = stream;
  Client& reader = client();
  reader.post(kPath, R"({"model":"m","input":"x","stream":true})");
  ASSERT_TRUE(until([&] { return reader.response().body.find("resp_7") != std::string::npos; }));
  ScriptedEngine& maker = one.requests.empty() ? two : one;
  ScriptedEngine& other = one.requests.empty() ? one : two;
  one.script = two.script = script;
  const std::size_t before = maker.requests.size();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(go_on("resp_7").status, 200);
  EXPECT_EQ(maker.requests.size(), before + 3);
  EXPECT_EQ(other.requests.size(), 0U);
}

TEST_F(ResponsesTest, WhatCannotBeContinuedGoesTheUsualWayAndIsCounted) {
  ScriptedEngine& one = numbered_engine();
  start({one.port()});
  const std::string id = begin();
  EXPECT_EQ(go_on("resp_other").status, 200);
  EXPECT_EQ(holders("unknown"), 1);
  publish({one.port()}, 2);
  EXPECT_EQ(go_on(id).status, 200) << "an engine is asked, and may say 404";
  EXPECT_EQ(holders("gone"), 1);
  EXPECT_EQ(holders("found"), 0);
  EXPECT_EQ(router_->responses().figures().held, 3U);
}

TEST_F(ResponsesTest, FailedAnswersAndOtherRoutesAreNotRemembered) {
  ScriptedEngine& one = this->engine();
  one.script = [](net::ServerExchange& exchange) {
    exchange.send_response(400, {{"content-type", "application/json"}}, R"({"id":"resp_1"})");
  };
  start({one.port()});
  EXPECT_EQ(ask(R"({"model":"m","input":"x"})", kPath).status, 400);
  one.script = [](net::ServerExchange& exchange) {
    exchange.send_response(200, {{"content-type", "application/json"}}, R"({"id":"resp_1"})");
  };
  EXPECT_EQ(ask(chat_body()).status, 200);
  EXPECT_EQ(router_->responses().figures().held, 0U);
}

}  // namespace
}  // namespace fairlead::gateway
