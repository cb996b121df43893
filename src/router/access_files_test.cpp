// SPDX-License-Identifier: Apache-2.0
#include "router/access_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "router/testing/fleet_fixture.h"

namespace fairlead::router {
namespace {

constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

class AccessFilesTest : public testing::FleetFixture {
 protected:
  static std::string key(const std::string& name, const std::string& more = "") {
    return "keys: [{name: " + name + ", sha256: " + kAbc + more + "}]\n";
  }
  void write_keys(const std::string& text) { folder_.replace("keys.yaml", text); }
  std::string keys_setting() const {
    return "access: {keysFile: " + folder_.file("keys.yaml") + "}\n";
  }
  std::string engine_key_setting() const {
    return "  engineKeyFile: " + folder_.file("engine-key") + "\n";
  }
  const access::Key* known() {
    rules_ = router_->access().load();
    return rules_->keys.find(access::parse_digest(kAbc).value());
  }
  bool until_told(std::string_view what, int times = 1) {
    return until([&] { return sink_.count(what) == times; });
  }

  std::shared_ptr<const access::AccessRules> rules_;
};

TEST_F(AccessFilesTest, WithoutFilesNobodyIsAsked) {
  start("");
  EXPECT_FALSE(router_->access().load()->keys.asks_for_key());
  EXPECT_FALSE(router_->access().load()->keeps_client_key());
}

TEST_F(AccessFilesTest, TheKeysFileIsFollowedAndABrokenOneKeepsTheOldKeys) {
  write_keys(key("a"));
  start("", keys_setting());
  ASSERT_NE(known(), nullptr);
  EXPECT_EQ(known()->name, "a");
  write_keys(key("b"));
  ASSERT_TRUE(until([&] { return known()->name == "b"; }));
  int told = 0;
  for (const char* bad : {"keys: [{name: c, sha256: sk-secret}]", "]", "", "other: 1"}) {
    write_keys(bad);
    ASSERT_TRUE(until_told("keeping the old keys", ++told)) << bad;
    ASSERT_NE(known(), nullptr);
    EXPECT_EQ(known()->name, "b");
  }
  std::filesystem::remove(folder_.file("keys.yaml"));
  ASSERT_TRUE(until_told("keeping the old keys", ++told));
  EXPECT_FALSE(sink_.has("sk-secret"));
  EXPECT_TRUE(exposed("fairlead_access_file_loads_total{file=\"keys\",result=\"failed\"} 5\n"));
  EXPECT_TRUE(exposed("fairlead_access_file_loads_total{file=\"keys\",result=\"ok\"} 1\n"));
  write_keys("keys: []");
  ASSERT_TRUE(until([&] { return known() == nullptr; }));
  EXPECT_TRUE(router_->access().load()->keys.asks_for_key());
}

TEST_F(AccessFilesTest, MissingOrBrokenFilesStopTheStart) {
  build("", keys_setting());
  auto opened = open_control();
  ASSERT_FALSE(opened.has_value());
  EXPECT_TRUE(opened.error().message.starts_with("access.keysFile: ")) << opened.error().message;
  write_keys("keys: 7");
  EXPECT_FALSE(open_control().has_value());
  build(engine_key_setting());
  EXPECT_FALSE(open_control().has_value());
  folder_.write("engine-key", "sk-engine sk-engine");
  opened = open_control();
  ASSERT_FALSE(opened.has_value());
  EXPECT_TRUE(opened.error().message.starts_with("fleet.engineKeyFile: "));
  EXPECT_EQ(opened.error().message.find("sk-engine"), std::string::npos);
}

TEST_F(AccessFilesTest, TheEnginesKeyOpensTheirModelListAndIsReadAgain) {
  auto& engine = add_engine();
  engine.authorization = "Bearer sk-engine-1";
  folder_.write("engine-key", "sk-engine-1\n");
  start(engine_key_setting() + endpoints({{"a", &engine}}, "  "));
  ASSERT_TRUE(until([&] { return control_->ready(); }));
  EXPECT_TRUE(router_->access().load()->keeps_client_key());
  engine.authorization = "Bearer sk-engine-2";
  engine.serve_model("second");
  folder_.replace("engine-key", "sk-engine-2");
  ASSERT_TRUE(until([&] { return endpoint("a").serves("second"); }));
  folder_.replace("engine-key", "");
  ASSERT_TRUE(until_told("keeping the old keys"));
  EXPECT_EQ(router_->access().load()->engine_authorization, "Bearer sk-engine-2");
  EXPECT_FALSE(sink_.has("sk-engine"));
}

TEST_F(AccessFilesTest, AReloadMayAskForKeysAndIsRefusedWithABrokenKeysFile) {
  start("");
  std::string rest;
  const auto followed = control_->follow("", [&]() -> Result<std::shared_ptr<const Generation>> {
    config::Problems problems;
    auto generation = build_generation(rest, "test.yaml", "", problems);
    if (!generation) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
    return generation;
  });
  ASSERT_TRUE(followed.has_value());
  rest = keys_setting();
  control_->reload();
  ASSERT_TRUE(until_told("the new configuration is refused"));
  EXPECT_FALSE(router_->access().load()->keys.asks_for_key());
  write_keys(key("a"));
  control_->reload();
  ASSERT_TRUE(until([&] { return router_->access().load()->keys.asks_for_key(); }));
  const access::Share running = known()->admit("m", 1, Time{}).share;
  EXPECT_TRUE(exposed("fairlead_tenant_requests_in_flight{tenant=\"a\"} 1\n"));
  control_->reload();
  ASSERT_TRUE(until_told("configuration reloaded", 2));
  EXPECT_EQ(known()->usage->figures().running, 1U) << "the key keeps what it uses";
  EXPECT_TRUE(exposed("fairlead_tenant_requests_in_flight{tenant=\"a\"} 1\n"));
  write_keys(key("b"));
  ASSERT_TRUE(until([&] { return known()->name == "b"; })) << "still watched";
  rest.clear();
  control_->reload();
  ASSERT_TRUE(until([&] { return !router_->access().load()->keys.asks_for_key(); }));
}

TEST_F(AccessFilesTest, WhatAKeyUsedIsExposedByItsNameUntilItIsGone) {
  write_keys(key("a", ", models: [m], limits: {concurrency: 1}"));
  start("", keys_setting());
  EXPECT_EQ(exposition().find("tenant=\"a\""), std::string::npos) << "not used yet";
  const access::Grant first = known()->admit("m", 10, Time{});
  EXPECT_EQ(known()->admit("m", 10, Time{}).refusal, access::Refusal::kConcurrency);
  EXPECT_EQ(known()->admit("n", 10, Time{}).refusal, access::Refusal::kModel);
  const std::string requests = "fairlead_tenant_requests_total{tenant=\"a\",result=";
  EXPECT_TRUE(exposed(requests + "\"admitted\"} 1\n"));
  EXPECT_TRUE(exposed(requests + "\"rate_limited_concurrency\"} 1\n"));
  EXPECT_TRUE(exposed(requests + "\"model_not_allowed\"} 1\n"));
  EXPECT_TRUE(exposed("fairlead_tenant_requests_in_flight{tenant=\"a\"} 1\n"));
  access::Share share = known()->usage->admit({}, 10, Time{}).share;
  share.settle({7, 5}, Time{});
  EXPECT_TRUE(exposed("fairlead_tenant_tokens_total{tenant=\"a\",kind=\"prompt\"} 7\n"));
  EXPECT_TRUE(exposed("fairlead_tenant_tokens_total{tenant=\"a\",kind=\"output\"} 5\n"));
  write_keys("keys: []");
  ASSERT_TRUE(until([&] { return exposition().find("tenant=\"a\"") == std::string::npos; }));
}

}  // namespace
}  // namespace fairlead::router
