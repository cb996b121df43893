// SPDX-License-Identifier: Apache-2.0
// Configurations that replace each other while the router runs.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "router/testing/fleet_fixture.h"

namespace fairlead::router {
namespace {

using model::Health;
using testing::FleetFixture;

class ReloadTest : public FleetFixture {
 protected:
  // Over engine "a" alone, following serve.yaml.
  void follow() {
    start(endpoints({{"a", &add_engine()}}, "  "));
    folder_.write("serve.yaml", "fleet:\n" + endpoints({{"a", &engines_[0]}}, "  "));
    const auto followed = control_->follow(folder_.file("serve.yaml"), [this] { return build(); });
    ASSERT_TRUE(followed.has_value()) << followed.error().message;
    ASSERT_TRUE(until_health("a", Health::kHealthy));
  }
  Result<std::shared_ptr<const Generation>> build() const {
    const auto text = fleet::FileWatch::read_file(folder_.file("serve.yaml"));
    if (!text) return tl::unexpected(text.error());
    config::Problems problems;
    auto generation = build_generation(*text, "serve.yaml", "", problems);
    if (!generation) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
    return generation;
  }
  void rewrite(const std::string& text) { folder_.replace("serve.yaml", text); }
  std::string fleet_of(
      const std::vector<std::pair<std::string, const fleet::testing::FakeEngine*>>& named) const {
    return "fleet:\n" + endpoints(named, "  ");
  }
  bool refused(std::string_view why) {
    return until([&] { return sink_.has(why); }) &&
           exposed("fairlead_config_reloads_total{result=\"failed\"} 1\n");
  }
};

TEST_F(ReloadTest, AChangedFileReplacesEndpointsAndPolicy) {
  follow();
  auto& other = add_engine();
  const auto old = router_->generation().load();
  rewrite(fleet_of({{"a", &engines_[0]}, {"b", &other}}) + "policy: random\n");
  ASSERT_TRUE(until_names({"a", "b"}));
  EXPECT_EQ(router_->generation().load()->policy, "random");
  EXPECT_EQ(old->policy, "fairlead") << "requests under way keep theirs";
  EXPECT_EQ(endpoint("a").health, Health::kHealthy) << "a known endpoint keeps its state";
  EXPECT_TRUE(exposed("fairlead_config_reloads_total{result=\"ok\"} 1\n"));
}

TEST_F(ReloadTest, ABrokenFileIsRefusedWithAllItsErrorsAndTheOldOneServes) {
  follow();
  const auto old = router_->generation().load();
  rewrite("policy: nosuch\nlimits: {bodyBytes: -1}\n");
  ASSERT_TRUE(refused("bodyBytes"));
  EXPECT_TRUE(sink_.has("nosuch"));
  EXPECT_EQ(router_->generation().load(), old);
  EXPECT_EQ(endpoint("a").health, Health::kHealthy);
}

TEST_F(ReloadTest, WhatNeedsARestartIsRefusedByName) {
  follow();
  rewrite("gateway: {listen: [\"127.0.0.1:1\"]}\n" + fleet_of({{"a", &engines_[0]}}));
  ASSERT_TRUE(refused("gateway.listen cannot change"));
  rewrite("gateway: {workers: 7}\n" + fleet_of({{"a", &engines_[0]}}));
  ASSERT_TRUE(until([&] { return sink_.has("gateway.workers cannot change"); }));
  rewrite("replicas: {addresses: [\"r:9\"], secretFile: /s}\n" + fleet_of({{"a", &engines_[0]}}));
  ASSERT_TRUE(until([&] { return sink_.has("replicas cannot change"); }));
}

TEST_F(ReloadTest, AChangedLogLevelIsInForceAndAnUnchangedOneLeavesWhatWasSaidMeanwhile) {
  follow();
  const std::string fleet = fleet_of({{"a", &engines_[0]}});
  rewrite(fleet + "log: {level: debug}\n");
  ASSERT_TRUE(until([&] { return router_->log().level() == LogLevel::kDebug; }));
  router_->log().set_level(LogLevel::kInfo);
  rewrite(fleet + "log: {level: debug}\npolicy: random\n");
  ASSERT_TRUE(until([&] { return router_->generation().load()->policy == "random"; }));
  EXPECT_EQ(router_->log().level(), LogLevel::kInfo);
}

TEST_F(ReloadTest, AnEndpointsFileThatIsMissingRefusesTheWhole) {
  follow();
  rewrite("fleet: {endpointsFile: " + folder_.file("absent.yaml") + "}\npolicy: random\n");
  ASSERT_TRUE(refused("absent.yaml"));
  EXPECT_EQ(router_->generation().load()->policy, "fairlead");
  EXPECT_EQ(endpoint("a").health, Health::kHealthy);
}

TEST_F(ReloadTest, AnEndpointsFileThatAppearsIsFollowed) {
  follow();
  auto& other = add_engine();
  folder_.write("endpoints.yaml", endpoints({{"b", &other}}));
  rewrite("fleet: {endpointsFile: " + folder_.file("endpoints.yaml") + "}\n");
  ASSERT_TRUE(until_names({"b"}));
  folder_.replace("endpoints.yaml", endpoints({{"c", &other}}));
  ASSERT_TRUE(until_names({"c"}));
}

TEST_F(ReloadTest, AnotherBlockSizeStartsTheHistoryAnew) {
  follow();
  router_->history().record(0, std::vector<std::uint64_t>{1, 2, 3});
  rewrite("prefix: {blockBytes: 2Ki}\n" + fleet_of({{"a", &engines_[0]}}));
  ASSERT_TRUE(until([&] { return router_->history().block_bytes() == 2048; }));
  EXPECT_EQ(router_->history().figures().held_blocks, 0U);
}

TEST_F(ReloadTest, ReloadReadsAnUnchangedFileAgain) {
  follow();
  control_->reload();
  ASSERT_TRUE(until([&] { return exposed("fairlead_config_reloads_total{result=\"ok\"} 1\n"); }));
}

TEST_F(ReloadTest, EverySettingThatIsFixedIsNamed) {
  follow();
  const std::string fleet = fleet_of({{"a", &engines_[0]}});
  const std::pair<std::string, std::string> fixed[] = {
      {"gateway.adminListen", "gateway: {adminListen: \"127.0.0.1:1\"}\n" + fleet},
      {"gateway.accessLog", "gateway: {accessLog: \"-\"}\n" + fleet},
      {"gateway.tls", "gateway: {tls: {certFile: /c, keyFile: /k}}\n" + fleet},
      {"gateway.http2", "gateway: {http2: {maxConcurrentStreams: 1}}\n" + fleet},
      {"fleet.tls", fleet + "  tls: {insecureSkipVerify: true}\n"},
      {"restart", fleet + "restart: {directory: /tmp}\n"},
  };
  for (const auto& [name, text] : fixed) {
    rewrite(text);
    EXPECT_TRUE(until([&] { return sink_.has(name + " cannot change"); })) << name;
  }
}

TEST_F(ReloadTest, HealthSettingsReachFleetAndProbes) {
  follow();
  rewrite(fleet_of({{"a", &engines_[0]}}) + "  health: {unhealthyAfter: 1, interval: 20ms}\n");
  ASSERT_TRUE(until([&] { return sink_.has("configuration reloaded"); }));
  router_->observe({endpoint("a").ref, model::Observation::Kind::kFailure,
                    model::UpstreamFailure::kConnectRefused, Time{}});
  EXPECT_TRUE(until_health("a", Health::kEjected)) << "the first failure counts";
  rewrite(fleet_of({{"a", &engines_[0]}}) + "  health: {path: /elsewhere, interval: 20ms}\n");
  EXPECT_TRUE(until([&] { return engines_[0].asked("/elsewhere") > 0; }));
}

TEST_F(ReloadTest, OnlySomeEarlierConfigurationsAreKept) {
  follow();
  for (int i = 1; i <= 12; ++i) {
    control_->reload();
    ASSERT_TRUE(until([&] { return sink_.count("configuration reloaded") == i; }));
  }
  EXPECT_EQ(control_->generations().size(), 8U);
  EXPECT_EQ(control_->generations().front(), router_->generation().load());
}

TEST_F(ReloadTest, ARefusedOneLeavesTheEndpointsFileThatWasFollowed) {
  follow();
  auto& other = add_engine();
  folder_.write("good.yaml", endpoints({{"b", &other}}));
  rewrite("fleet: {endpointsFile: " + folder_.file("good.yaml") + "}\n");
  ASSERT_TRUE(until_names({"b"}));
  folder_.write("bad.yaml", "endpoints: 7\n");
  rewrite("fleet: {endpointsFile: " + folder_.file("bad.yaml") + "}\n");
  ASSERT_TRUE(refused("expected a list"));
  folder_.replace("good.yaml", endpoints({{"c", &other}}));
  EXPECT_TRUE(until_names({"c"}));
}

}  // namespace
}  // namespace fairlead::router
