// SPDX-License-Identifier: Apache-2.0
// EngineFixture: a loop, a fleet of one small fast engine on a free port, and a client.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "lab/engine/engine_fleet.h"
#include "lab/engine/testing/loop_client.h"

namespace fairlead::engine {

class EngineFixture : public ::testing::Test {
 protected:
  using Json = nlohmann::ordered_json;

  static EngineProfile small_profile() {
    EngineProfile profile;
    profile.name = "small";
    profile.model = "tiny";
    profile.kv_tokens = 65536;
    profile.block_size = 16;
    profile.max_model_len = 8192;
    profile.step_floor_s = 0.0005;
    profile.per_token_s = 1e-6;
    profile.host_overhead_s = 0.0002;
    return profile;
  }
  static EngineProfile instant_profile() {
    EngineProfile profile = small_profile();
    profile.step_floor_s = profile.per_token_s = profile.host_overhead_s = 0;
    return profile;
  }

  EngineFixture() {
    options_.profile = small_profile();
    auto loop = net::EventLoop::create();
    loop_ = std::move(*loop);
    client_.emplace(*loop_);
  }

  void start() {
    auto fleet = EngineFleet::create(*loop_, options_);
    ASSERT_TRUE(fleet.has_value()) << fleet.error().message;
    fleet_ = std::move(*fleet);
    port_ = fleet_->ports().front();
  }
  const Engine& engine() { return fleet_->engine(0).engine(); }
  Json json(const ClientReply& reply) {
    Json parsed = Json::parse(reply.body, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << reply.status << " " << reply.body;
    return parsed;
  }
  ClientReply chat(const std::string& fields, const std::string& content = "def main(argv):") {
    return client_->post(port_, "/v1/chat/completions", chat_body(fields, content));
  }
  ClientReply complete(const std::string& fields) {
    return client_->post(port_, "/v1/completions", R"({"model":"tiny",)" + fields + "}");
  }
  static std::string chat_body(const std::string& fields,
                               const std::string& content = "def main(argv):") {
    Json body = Json::parse("{" + fields + "}");
    body["model"] = "tiny";
    body["messages"] = Json::array({{{"role", "user"}, {"content", content}}});
    return body.dump();
  }
  void fault(const std::string& body) {
    const ClientReply reply = client_->post(port_, "/admin/fault", body);
    ASSERT_EQ(reply.status, 200) << reply.body;
  }
  static std::vector<std::string> keys(const Json& object) {
    std::vector<std::string> names;
    for (const auto& item : object.items()) names.push_back(item.key());
    return names;
  }

  FleetOptions options_;
  std::unique_ptr<net::EventLoop> loop_;
  std::optional<LoopClient> client_;
  std::unique_ptr<EngineFleet> fleet_;
  std::uint16_t port_ = 0;
};

}  // namespace fairlead::engine
