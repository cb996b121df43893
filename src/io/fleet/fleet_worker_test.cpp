// SPDX-License-Identifier: Apache-2.0
#include "io/fleet/fleet_worker.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "io/fleet/testing/fake_engine.h"
#include "io/net/testing/loop_fixture.h"

namespace fairlead::fleet {
namespace {

using model::Health;
using net::testing::make_loop;
using net::testing::run_until;
using std::chrono::milliseconds;

// A fleet of one fake engine; the test gives out the work itself.
class FleetWorkerTest : public ::testing::Test {
 protected:
  FleetWorkerTest() { settings_.health.timeout = milliseconds(100); }

  void start_fleet() {
    fleet_ = std::make_unique<Fleet>(settings_, prefix_, inflight_, Random(1));
    worker_ = std::make_unique<FleetWorker>(*loop_, *fleet_, load_, settings_, registry_, tls_);
    ASSERT_TRUE(fleet_->set_members({engine_.setting("a")}, loop_->now()).has_value());
  }
  model::Endpoint endpoint() const { return fleet_->snapshot().endpoints.front(); }
  void start(WorkKind kind) {
    const model::Endpoint to = endpoint();
    worker_->start({kind, to.ref}, to);
  }
  // A line of the exposition.
  bool exposed(std::string_view line) const {
    return registry_.expose().find(line) != std::string::npos;
  }
  bool until_exposed(std::string_view line) {
    return run_until(*loop_, [&] { return exposed(line); });
  }
  void become_healthy() {
    start(WorkKind::kProbe);
    ASSERT_TRUE(run_until(*loop_, [&] { return endpoint().health == Health::kHealthy; }));
  }

  std::unique_ptr<net::EventLoop> loop_ = make_loop();
  testing::FakeEngine engine_{*loop_};
  config::FleetSettings settings_;
  config::PrefixSettings prefix_;
  InFlightTable inflight_;
  LoadTable load_;
  MetricRegistry registry_;
  std::shared_ptr<net::TlsClientContext> tls_;
  std::unique_ptr<Fleet> fleet_;
  std::unique_ptr<FleetWorker> worker_;
};

TEST_F(FleetWorkerTest, AGoodProbeMakesTheEndpointHealthy) {
  start_fleet();
  become_healthy();
  EXPECT_TRUE(exposed("fairlead_probes_total{result=\"ok\"} 1\n"));
}

TEST_F(FleetWorkerTest, EveryOtherStatusAndSilenceAreBadProbes) {
  start_fleet();
  become_healthy();
  engine_.health_status = 503;
  start(WorkKind::kProbe);
  ASSERT_TRUE(until_exposed("fairlead_probes_total{result=\"failed\"} 1\n"));
  engine_.silent_path = "/health";
  start(WorkKind::kProbe);
  ASSERT_TRUE(until_exposed("fairlead_probes_total{result=\"failed\"} 2\n"));
  EXPECT_EQ(endpoint().health, Health::kHealthy);
  engine_.down();
  start(WorkKind::kProbe);
  ASSERT_TRUE(until_exposed("fairlead_probes_total{result=\"failed\"} 3\n"));
  EXPECT_EQ(endpoint().health, Health::kEjected);
}

TEST_F(FleetWorkerTest, TheProbePathIsASetting) {
  settings_.health.path = "/v1/models";
  start_fleet();
  become_healthy();
  EXPECT_EQ(engine_.asked("/v1/models"), 1);
  EXPECT_EQ(engine_.asked("/health"), 0);
}

TEST_F(FleetWorkerTest, AScrapeFillsTheLoadTable) {
  start_fleet();
  become_healthy();
  engine_.set_load(4, 9, 0.5);
  start(WorkKind::kScrape);
  ASSERT_TRUE(until_exposed("fairlead_scrapes_total{result=\"ok\"} 1\n"));
  const LoadRow row = load_.read(endpoint().ref.slot);
  EXPECT_EQ(row.waiting, 4.0F);
  EXPECT_EQ(row.running, 9.0F);
  EXPECT_EQ(row.kv_usage, 0.5F);
  EXPECT_GT(row.scraped_at, Time{});
}

TEST_F(FleetWorkerTest, FiguresMayBeOfAnotherPathAndPort) {
  testing::FakeEngine beside{*loop_};
  beside.metrics_path = "/stats";
  beside.set_load(4, 0, 0);
  settings_.scrape_path = "/stats";
  settings_.scrape_port = beside.port();
  start_fleet();
  become_healthy();
  start(WorkKind::kScrape);
  ASSERT_TRUE(until_exposed("fairlead_scrapes_total{result=\"ok\"} 1\n"));
  EXPECT_EQ(load_.read(endpoint().ref.slot).waiting, 4.0F);
  EXPECT_EQ(engine_.asked("/stats"), 0);
}

TEST_F(FleetWorkerTest, WhatIsNoExpositionOrNoModelListFails) {
  start_fleet();
  become_healthy();
  engine_.metrics = "<html>not here</html>";
  engine_.models = "{\"data\":[{\"id\":7}]}";
  start(WorkKind::kScrape);
  start(WorkKind::kModels);
  ASSERT_TRUE(until_exposed("fairlead_scrapes_total{result=\"failed\"} 1\n"));
  ASSERT_TRUE(until_exposed("fairlead_model_lists_total{result=\"failed\"} 1\n"));
  EXPECT_EQ(load_.read(0).scraped_at, Time{});
  EXPECT_TRUE(endpoint().models.empty());
  EXPECT_EQ(worker_->faults().metrics_unreadable, 1U);
  EXPECT_EQ(worker_->faults().models_unreadable, 1U);
  EXPECT_EQ(worker_->faults().metrics_unreachable, 0U);
  engine_.down();
  start(WorkKind::kScrape);
  start(WorkKind::kModels);
  ASSERT_TRUE(until_exposed("fairlead_model_lists_total{result=\"failed\"} 2\n"));
  ASSERT_TRUE(until_exposed("fairlead_scrapes_total{result=\"failed\"} 2\n"));
  EXPECT_EQ(worker_->faults().metrics_unreachable, 1U);
  EXPECT_EQ(worker_->faults().models_unreachable, 1U);
}

TEST_F(FleetWorkerTest, ModelsReachTheSnapshot) {
  start_fleet();
  become_healthy();
  engine_.serve_model("llama");
  start(WorkKind::kModels);
  ASSERT_TRUE(run_until(*loop_, [&] { return endpoint().serves("llama"); }));
  EXPECT_TRUE(exposed("fairlead_model_lists_total{result=\"ok\"} 1\n"));
}

TEST_F(FleetWorkerTest, ASlowEngineCostsOneFetchAKind) {
  start_fleet();
  become_healthy();
  engine_.silent_path = "/metrics";
  for (int i = 0; i < 5; ++i) start(WorkKind::kScrape);
  EXPECT_TRUE(exposed("fairlead_fleet_work_skipped_total 4\n"));
  start(WorkKind::kModels);
  ASSERT_TRUE(until_exposed("fairlead_model_lists_total{result=\"ok\"} 1\n"));
  EXPECT_EQ(engine_.asked("/metrics"), 1);
}

TEST_F(FleetWorkerTest, ForgettingCancelsWhatIsOutAndClosesItsConnections) {
  start_fleet();
  become_healthy();
  engine_.silent_path = "/metrics";
  start(WorkKind::kScrape);
  ASSERT_TRUE(run_until(*loop_, [&] { return engine_.asked("/metrics") == 1; }));
  EXPECT_GE(engine_.connections(), 1U);
  worker_->forget(endpoint().ref);
  worker_->forget(endpoint().ref);
  ASSERT_TRUE(run_until(*loop_, [&] { return engine_.connections() == 0; }));
  EXPECT_TRUE(exposed("fairlead_scrapes_total{result=\"failed\"} 0\n")) << "no result follows";
}

TEST_F(FleetWorkerTest, TheNextOwnerOfASlotHasFetchesOfItsOwn) {
  start_fleet();
  become_healthy();
  engine_.silent_path = "/metrics";
  start(WorkKind::kScrape);
  ASSERT_TRUE(run_until(*loop_, [&] { return engine_.asked("/metrics") == 1; }));
  engine_.silent_path.clear();
  engine_.set_load(2, 0, 0);
  // The same name, address and slot, one generation on.
  const Time later = loop_->now() + Fleet::kSlotRest;
  ASSERT_TRUE(fleet_->set_members({}, later - Fleet::kSlotRest).has_value());
  ASSERT_TRUE(fleet_->set_members({engine_.setting("a")}, later).has_value());
  ASSERT_EQ(endpoint().ref, (model::EndpointRef{0, 1}));
  start(WorkKind::kScrape);
  ASSERT_TRUE(until_exposed("fairlead_scrapes_total{result=\"ok\"} 1\n"));
  EXPECT_EQ(load_.read(0).waiting, 2.0F);
  worker_->forget({0, 0});
}

TEST_F(FleetWorkerTest, DyingWithWorkOutIsQuiet) {
  start_fleet();
  become_healthy();
  engine_.silent_path = "/metrics";
  start(WorkKind::kScrape);
  start(WorkKind::kModels);
  start(WorkKind::kProbe);
  worker_.reset();
  ASSERT_TRUE(run_until(*loop_, [&] { return engine_.connections() == 0; }));
  EXPECT_TRUE(exposed("fairlead_probes_total{result=\"ok\"} 1\n"));
}

}  // namespace
}  // namespace fairlead::fleet
