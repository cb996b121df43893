// SPDX-License-Identifier: Apache-2.0
// Requests that wait in the gateway for an endpoint with room.
#include <gtest/gtest.h>

#include <string>

#include "fronts/gateway/testing/gateway_fixture.h"

namespace fairlead::gateway {
namespace {

constexpr std::string_view kPolicy = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: kv-room-admitter
- type: max-score-picker
schedulingProfiles:
- name: default
  plugins: [{pluginRef: max-score-picker}]
)";
class LateBindingTest : public GatewayTest {
 protected:
  // One request keeps the only engine busy, whose memory is full.
  void fill(std::string_view waiting = "") {
    one_ = &engine();
    one_->script = [this](net::ServerExchange& exchange) { held_ = &exchange; };
    start({one_->port()}, std::string(kPolicy) + std::string(waiting), "");
    tell(0.99F);
    client().post("/v1/chat/completions", chat_body());
    ASSERT_TRUE(until([this] { return held_ != nullptr; }));
    one_->script = [](net::ServerExchange& exchange) { exchange.send_response(200, {}, "{}"); };
  }
  void tell(float kv_usage) {
    router_->load().write(0, {0, 1, kv_usage, loop_->now(), false, 10'000});
  }
  void TearDown() override {
    if (held_ != nullptr) held_->send_response(200, {}, "{}");
    GatewayTest::TearDown();
  }

  ScriptedEngine* one_ = nullptr;
  net::ServerExchange* held_ = nullptr;
};

TEST_F(LateBindingTest, ARequestWaitsUntilAnEngineHasRoom) {
  fill();
  Client& late = client();
  late.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([this] { return metric("fairlead_waiting_requests") == 1; }));
  for (int i = 0; i < 5; ++i) turn();
  EXPECT_EQ(one_->requests.size(), 1U);
  tell(0.5F);
  EXPECT_EQ(wait_for(late).status, 200);
  EXPECT_EQ(one_->requests.size(), 2U);
  EXPECT_EQ(metric("fairlead_waiting_requests"), 0);
  EXPECT_EQ(metric("fairlead_waits_total{end=\"room\"}"), 1);
  EXPECT_EQ(metric("fairlead_wait_seconds_count"), 1);
}

TEST_F(LateBindingTest, PatienceEndsTheWait) {
  fill("limits: {waiting: {patience: 20ms}}");
  EXPECT_EQ(ask(chat_body()).status, 200);
  EXPECT_EQ(metric("fairlead_waits_total{end=\"patience\"}"), 1);
}

TEST_F(LateBindingTest, AFullBandPlacesAtOnce) {
  fill("limits: {waiting: {requestsMax: 1}}");
  Client& first = client();
  first.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([this] { return metric("fairlead_waiting_requests") == 1; }));
  EXPECT_EQ(ask(chat_body()).status, 200);
  EXPECT_EQ(metric("fairlead_waits_total{end=\"full\"}"), 1);
  tell(0.5F);
  EXPECT_EQ(wait_for(first).status, 200);
}

TEST_F(LateBindingTest, AClientThatLeavesWaitsNoMore) {
  fill();
  Client& gone = client();
  gone.post("/v1/chat/completions", chat_body());
  ASSERT_TRUE(until([this] { return metric("fairlead_waiting_requests") == 1; }));
  gone.close();
  ASSERT_TRUE(until([this] { return metric("fairlead_waiting_requests") == 0; }));
  tell(0.5F);
  EXPECT_EQ(ask(chat_body()).status, 200);
  EXPECT_EQ(one_->requests.size(), 2U);
}

}  // namespace
}  // namespace fairlead::gateway
