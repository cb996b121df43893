// SPDX-License-Identifier: Apache-2.0
#include "router/control.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/net/testing/fake_dns.h"
#include "router/testing/fleet_fixture.h"

namespace fairlead::router {
namespace {

using model::Health;
using testing::FleetFixture;
using Keys = std::vector<std::uint64_t>;

class ControlTest : public FleetFixture {
 protected:
  void observe(std::string_view name, model::Observation::Kind kind) {
    router_->observe({endpoint(name).ref, kind, model::UpstreamFailure::kConnectRefused, Time{}});
  }
  // Waits until the observations given so far were drained and published.
  bool eject(std::string_view name) {
    for (int i = 0; i < 3; ++i) observe(name, model::Observation::Kind::kFailure);
    return until_health(name, Health::kEjected);
  }
  std::uint64_t remembered() { return router_->history().figures().held_blocks; }
  void write_file(const std::string& text) { folder_.replace("endpoints.yaml", text); }
  std::string file_setting() const {
    return "  endpointsFile: " + folder_.file("endpoints.yaml") + "\n";
  }
};

TEST_F(ControlTest, AHealthyEndpointThatToldItsModelsMakesTheRouterReady) {
  auto& engine = add_engine();
  engine.silent_path = "/v1/models";
  start(endpoints({{"a", &engine}}, "  "));
  EXPECT_EQ(endpoint("a").health, Health::kUnknown) << "published before the loop runs";
  ASSERT_TRUE(until_health("a", Health::kHealthy));
  EXPECT_FALSE(control_->ready());
  EXPECT_FALSE(router_->pool().load()->any_model_known());
  engine.silent_path.clear();
  ASSERT_TRUE(until([&] { return control_->ready(); }));
  EXPECT_TRUE(endpoint("a").serves("m"));
}

TEST_F(ControlTest, ScrapesReachTheLoadTable) {
  auto& engine = add_engine();
  engine.set_load(7, 3, 0.5);
  start(endpoints({{"a", &engine}}, "  "));
  ASSERT_TRUE(until([&] { return router_->load().read(0).waiting == 7.0F; }));
  EXPECT_EQ(router_->load().read(0).running, 3.0F);
  engine.set_load(0, 4, 0.75);
  ASSERT_TRUE(until([&] { return router_->load().read(0).running == 4.0F; }));
  EXPECT_EQ(router_->load().read(0).kv_usage, 0.75F);
}

TEST_F(ControlTest, WhatItDidNotSendIsOthers) {
  auto& engine = add_engine();
  const auto tell = [&](int looked_up) {
    engine.set_load(0, 3, 0.5);
    engine.metrics += "vllm:prefix_cache_queries_total " + std::to_string(looked_up) +
                      "\nvllm:prompt_tokens_total 0\n";
  };
  const auto others = [&] { return router_->load().read(0).others.tokens; };
  tell(0);
  start(endpoints({{"a", &engine}}, "  "));
  ASSERT_TRUE(until([&] { return router_->load().read(0).running == 3.0F; }));
  tell(900);
  ASSERT_TRUE(until([&] { return others() == 900; }));
  const fleet::InFlightShare ours(router_->inflight(), endpoint("a").ref, 400);
  tell(901);
  ASSERT_TRUE(until([&] { return others() == 501; }));
}

TEST_F(ControlTest, LoadFiguresThatAreTooOldAreNotBelieved) {
  auto& engine = add_engine();
  engine.set_load(7, 3, 0.5);
  start(endpoints({{"a", &engine}}, "  "));
  ASSERT_TRUE(until([&] { return router_->load().read(0).waiting == 7.0F; }));
  engine.silent_path = "/metrics";
  ASSERT_TRUE(until([&] { return sink_.has("endpoint a: its load figures are too old"); }));
  EXPECT_TRUE(router_->load().read(0).stale);
  EXPECT_EQ(router_->load().read(0).waiting, 7.0F) << "what it said last";
  EXPECT_EQ(endpoint("a").health, Health::kHealthy);
}

TEST_F(ControlTest, ADeadEndpointIsEjectedAndReturnsSlowly) {
  auto& steady = add_engine();
  auto& flaky = add_engine();
  start(endpoints({{"steady", &steady}, {"flaky", &flaky}}, "  "));
  ASSERT_TRUE(until_health("flaky", Health::kHealthy));
  ASSERT_TRUE(until_health("steady", Health::kHealthy));
  flaky.down();
  ASSERT_TRUE(until_health("flaky", Health::kEjected));
  EXPECT_EQ(endpoint("steady").health, Health::kHealthy);
  EXPECT_TRUE(exposed("fairlead_endpoint_up{endpoint=\"flaky\"} 0\n"));
  EXPECT_TRUE(exposed("fairlead_ejections_total{endpoint=\"flaky\"} 1\n"));
  flaky.up();
  std::vector<double> shares;
  ASSERT_TRUE(until([&] {
    const model::Endpoint now = endpoint("flaky");
    if (now.health == Health::kReturning && (shares.empty() || shares.back() != now.admit_share)) {
      shares.push_back(now.admit_share);
    }
    return now.health == Health::kHealthy;
  }));
  ASSERT_GE(shares.size(), 2U) << "it takes its share back in steps";
  EXPECT_LT(shares.front(), 0.6);
  EXPECT_TRUE(std::ranges::is_sorted(shares));
  EXPECT_EQ(endpoint("flaky").admit_share, 1.0);
  EXPECT_TRUE(exposed("fairlead_endpoint_up{endpoint=\"flaky\"} 1\n"));
}

TEST_F(ControlTest, FailingRequestsEjectAnEndpointThatAnswersItsProbes) {
  auto& engine = add_engine();
  start(endpoints({{"a", &engine}}, "  "));
  ASSERT_TRUE(until([&] { return control_->ready(); }));
  ASSERT_TRUE(eject("a"));
  EXPECT_FALSE(control_->ready());
  ASSERT_TRUE(until_health("a", Health::kReturning));
  EXPECT_TRUE(control_->ready()) << "a returning endpoint serves";
}

TEST_F(ControlTest, AnEjectionForgetsTheEndpointsHistoryOnly) {
  auto& one = add_engine();
  auto& two = add_engine();
  start(endpoints({{"a", &one}, {"b", &two}}, "  "));
  ASSERT_TRUE(until_health("a", Health::kHealthy));
  ASSERT_TRUE(until_health("b", Health::kHealthy));
  router_->history().record(endpoint("a").ref.slot, Keys{1, 2, 3});
  router_->history().record(endpoint("b").ref.slot, Keys{1, 2});
  router_->ledger().note_cold(endpoint("a").ref.slot);
  ASSERT_TRUE(eject("a"));
  EXPECT_EQ(remembered(), 2U);
  EXPECT_EQ(router_->ledger().last_cold(endpoint("a").ref.slot), 0U);
  EXPECT_TRUE(sink_.has("endpoint a: ejected after repeated failures"));
}

TEST_F(ControlTest, ARestartForgetsTheHistory) {
  auto& engine = add_engine();
  engine.set_load(1, 0, 0, 1000);
  start(endpoints({{"a", &engine}}, "  "));
  ASSERT_TRUE(until([&] { return router_->load().read(0).waiting == 1.0F; }));
  router_->history().record(0, Keys{1, 2, 3});
  engine.set_load(2, 0, 0, 1000);
  ASSERT_TRUE(until([&] { return router_->load().read(0).waiting == 2.0F; }));
  EXPECT_EQ(remembered(), 3U) << "the same process";
  engine.set_load(3, 0, 0, 1001);
  ASSERT_TRUE(until([&] { return remembered() == 0; }));
  EXPECT_EQ(endpoint("a").health, Health::kHealthy);
  EXPECT_TRUE(sink_.has("endpoint a: restarted"));
}

TEST_F(ControlTest, TheEnginesReportedCacheIsTheHistorysBudget) {
  auto& engine = add_engine();
  engine.metrics =
      "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"64\"} 1\n"
      "vllm:num_requests_waiting 1\n";
  start(endpoints({{"a", &engine}}, "  "));
  ASSERT_TRUE(until([&] { return router_->load().read(0).waiting == 1.0F; }));
  ASSERT_TRUE(until([&] {
    router_->history().record(0, Keys{1, 2, 3, 4, 5, 6, 7, 8});
    return remembered() == 4;
  })) << "1024 tokens of 4 bytes are 4 blocks of 1 KiB";
}

TEST_F(ControlTest, AJoiningEndpointFindsNothingInItsSlot) {
  auto& engine = add_engine();
  build(endpoints({{"a", &engine}}, "  "), "prefix: {bytesPerEndpoint: 2Ki}\n");
  router_->history().record(0, Keys{1, 2});
  router_->history().set_budget(0, 1 << 20);
  router_->ledger().note_cold(0);
  router_->load().write(0, {9, 9, 0.9F, Time{Duration{1}}});
  ASSERT_TRUE(open_control().has_value());
  EXPECT_EQ(remembered(), 0U);
  EXPECT_EQ(router_->ledger().last_cold(0), 0U);
  EXPECT_EQ(router_->load().read(0).waiting, 0.0F);
  router_->history().record(0, Keys{1, 2, 3, 4, 5});
  EXPECT_EQ(remembered(), 2U) << "the configured budget";
}

TEST_F(ControlTest, TheEndpointsFileIsFollowed) {
  auto& one = add_engine();
  auto& two = add_engine();
  write_file(endpoints({{"b", &two}}));
  start(endpoints({{"a", &one}}, "  ") + file_setting());
  EXPECT_TRUE(until_names({"a", "b"})) << "the file adds to the configuration";
  ASSERT_TRUE(until_health("b", Health::kHealthy));
  ASSERT_TRUE(exposed("endpoint=\"b\""));
  router_->history().record(endpoint("b").ref.slot, Keys{1, 2});
  router_->load().write(endpoint("b").ref.slot, {1, 1, 0.1F, Time{}});
  const std::uint32_t slot = endpoint("b").ref.slot;
  write_file(endpoints({}));
  EXPECT_TRUE(until_names({"a"}));
  EXPECT_FALSE(exposed("endpoint=\"b\"")) << "its metrics left with it";
  EXPECT_EQ(remembered(), 0U);
  EXPECT_EQ(router_->load().read(slot).waiting, 0.0F);
  ASSERT_TRUE(until([&] { return two.connections() == 0; })) << "no connection is kept to it";
  write_file(endpoints({{"b", &two}}));
  EXPECT_TRUE(until_names({"a", "b"}));
  EXPECT_NE(endpoint("b").ref.slot, slot) << "the old slot rests";
  ASSERT_TRUE(until_health("b", Health::kHealthy));
  EXPECT_TRUE(exposed("fairlead_endpoint_up{endpoint=\"b\"} 1\n"));
  EXPECT_TRUE(exposed("fairlead_endpoints_file_loads_total{result=\"ok\"} 2\n"));
}

TEST_F(ControlTest, AMovedAddressUnderTheSameNameIsOneSeriesOfANewEndpoint) {
  auto& one = add_engine();
  auto& two = add_engine();
  write_file(endpoints({{"a", &one}}));
  start(file_setting());
  ASSERT_TRUE(until_health("a", Health::kHealthy));
  ASSERT_TRUE(eject("a"));
  ASSERT_TRUE(exposed("fairlead_ejections_total{endpoint=\"a\"} 1\n"));
  write_file(endpoints({{"a", &two}}));
  ASSERT_TRUE(until([&] { return endpoint("a").port == two.port(); }));
  ASSERT_TRUE(until_health("a", Health::kHealthy));
  const std::string text = exposition();
  EXPECT_NE(text.find("fairlead_ejections_total{endpoint=\"a\"} 0\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("fairlead_endpoint_up{endpoint=\"a\"}"),
            text.rfind("fairlead_endpoint_up{endpoint=\"a\"}"));
}

TEST_F(ControlTest, ABadEndpointsFileKeepsTheOldListAndIsToldOnce) {
  auto& one = add_engine();
  auto& two = add_engine();
  write_file(endpoints({{"b", &two}}));
  start(endpoints({{"a", &one}}, "  ") + file_setting());
  ASSERT_TRUE(until_names({"a", "b"}));
  const std::vector<std::string> bad = {"endpoints: [{address: nowhere}]", "]",
                                        endpoints({{"a", &two}}), endpoints({{"c", &one}}),
                                        "endpoints: [{address: \"no.address.7:80\"}]"};
  int told = 0;
  for (const std::string& text : bad) {
    write_file(text);
    ++told;
    ASSERT_TRUE(until([&] { return sink_.count("keeping the old endpoints") == told; })) << text;
    folder_.write("unrelated", text);
    EXPECT_TRUE(until_names({"a", "b"}));
  }
  std::filesystem::remove(folder_.file("endpoints.yaml"));
  ASSERT_TRUE(until([&] { return sink_.count("keeping the old endpoints") == told + 1; }));
  EXPECT_TRUE(sink_.has("two endpoints are named a"));
  EXPECT_TRUE(sink_.has("are both at 127.0.0.1"));
  EXPECT_TRUE(exposed("fairlead_endpoints_file_loads_total{result=\"failed\"} 6\n"));
  write_file(endpoints({}));
  EXPECT_TRUE(until_names({"a"})) << "the next good file counts again";
}

TEST_F(ControlTest, StartUpIsAllOrNothing) {
  auto& engine = add_engine();
  build(file_setting());
  auto opened = open_control();
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message.find(folder_.file("endpoints.yaml")), std::string::npos);
  write_file("endpoints: 7");
  EXPECT_FALSE(open_control().has_value());
  write_file(endpoints({{"a", &engine}, {"b", &engine}}));
  EXPECT_FALSE(open_control().has_value());
  write_file("endpoints: [{address: \"no.address.7:80\"}]\n");
  opened = open_control();
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message.find("no.address.7"), std::string::npos);
}

TEST_F(ControlTest, AnUnchangedPoolIsNotPublishedAgain) {
  auto& engine = add_engine();
  start(endpoints({{"a", &engine}}, "  "));
  ASSERT_TRUE(until([&] { return control_->ready(); }));
  const auto pool = router_->pool().load();
  const int scrapes = engine.asked("/metrics");
  ASSERT_TRUE(until([&] { return engine.asked("/metrics") > scrapes + 20; }));
  EXPECT_EQ(router_->pool().load(), pool) << "not even one that is equal";
}

TEST_F(ControlTest, HostNamesAreResolvedAndOneWithoutAnAddressStopsNobody) {
  auto& engine = add_engine();
  net::testing::FakeDns dns(*engine_loop_);
  dns.names["engine.test"] = {"127.0.0.1"};
  resolver_.servers = dns.server();
  const std::string port = ":" + std::to_string(engine.port());
  start("  endpoints:\n  - {name: a, address: \"engine.test" + port +
        "\"}\n  - {name: b, address: \"nowhere.test" + port + "\"}\n");
  EXPECT_EQ(endpoint("a").dial(), "engine.test") << "published before any answer";
  ASSERT_TRUE(until([&] { return control_->ready(); }));
  EXPECT_EQ(endpoint("a").dial(), "127.0.0.1");
  EXPECT_EQ(engine.host, "engine.test" + port);
  ASSERT_TRUE(
      until([&] { return sink_.has("endpoint b: host nowhere.test: no address for this name"); }));
  EXPECT_EQ(endpoint("b").health, Health::kUnknown);
  EXPECT_NE(control_->status()[1].trouble.find("it takes no traffic yet"), std::string_view::npos);
  EXPECT_TRUE(exposed("fairlead_lookups_total{result=\"ok\"} 1\n"));
  EXPECT_TRUE(exposed("fairlead_lookups_total{result=\"not_found\"} 1\n"));
  control_.reset();
}

class ReplicasTest : public ControlTest {
 protected:
  std::string replicas() const {
    return "replicas: {listen: \"127.0.0.1:0\", addresses: [\"127.0.0.1:9\"], secretFile: " +
           folder_.file("secret") + "}\n";
  }
  std::string keeping() const { return "restart: {directory: " + folder_.path().string() + "}\n"; }
  std::uint64_t seed_with(std::string_view secret, const std::string& more = "") {
    control_.reset();
    folder_.write("secret", secret);
    start("  endpoints: [{name: a, address: \"127.0.0.1:9\"}]\n", replicas() + more);
    return router_->key_seed();
  }
};

TEST_F(ReplicasTest, PrefixKeysAreOfTheSecretThatAllShare) {
  const std::uint64_t one = seed_with("correct horse battery");
  EXPECT_EQ(seed_with("correct horse battery\n"), one);
  EXPECT_NE(seed_with("some other secret text"), one);
  EXPECT_NE(one, router_->process_seed());
  EXPECT_FALSE(sink_.has("correct horse")) << "secrets are not logged";
}

TEST_F(ReplicasTest, WithoutItsSecretARouterDoesNotStart) {
  build("  endpoints: [{name: a, address: \"127.0.0.1:9\"}]\n", replicas());
  auto opened = open_control();
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message.find("replicas.secretFile: cannot read"), std::string::npos)
      << opened.error().message;
  folder_.write("secret", "short");
  opened = open_control();
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message.find("a secret has 16 to 4096 bytes, this one has 5"),
            std::string::npos)
      << opened.error().message;
}

TEST_F(ReplicasTest, WhatWasSavedUnderAnotherSecretIsNotUsed) {
  seed_with("correct horse battery", keeping());
  control_->start();
  control_->stop();
  const std::uint64_t again = seed_with("correct horse battery", keeping());
  EXPECT_EQ(sink_.count("going on from what was saved"), 1);
  control_->start();
  control_->stop();
  EXPECT_NE(seed_with("some other secret text", keeping()), again);
  EXPECT_TRUE(sink_.has("replicas.secretFile is new or another"));
  EXPECT_EQ(sink_.count("going on from what was saved"), 1);
}

}  // namespace
}  // namespace fairlead::router
