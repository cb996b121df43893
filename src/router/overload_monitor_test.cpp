// SPDX-License-Identifier: Apache-2.0
#include "router/overload_monitor.h"

#include <gtest/gtest.h>

#include "io/net/testing/loop_fixture.h"
#include "router/build.h"
#include "router/testing/fleet_fixture.h"

namespace fairlead::router {
namespace {

TEST(ControlGroupMemory, TheLowestLimitOnTheWayUpHolds) {
  const auto limit = control_group_memory([](const std::string& path) -> std::string {
    if (path == "/proc/self/cgroup") return "0::/pod/box\n";
    if (path == "/sys/fs/cgroup/pod/box/memory.max") return "max\n";
    if (path == "/sys/fs/cgroup/pod/memory.max") return "1073741824\n";
    return "";
  });
  EXPECT_EQ(limit, std::uint64_t{1} << 30);
}

TEST(ControlGroupMemory, TheOlderHierarchyAndAContainersOwnRootAreRead) {
  const auto limit = control_group_memory([](const std::string& path) -> std::string {
    if (path == "/proc/self/cgroup") return "5:cpu:/x\n4:memory:/docker/abc\n0::/\n";
    if (path == "/sys/fs/cgroup/memory/memory.limit_in_bytes") return "536870912\n";
    return "";
  });
  EXPECT_EQ(limit, std::uint64_t{512} << 20);
  EXPECT_EQ(control_group_memory([](const std::string&) { return std::string(); }), 0U);
}

class OverloadMonitorTest : public ::testing::Test {
 protected:
  OverloadMonitorTest() {
    config::Problems problems;
    router_ = std::make_unique<Router>(build_generation("", "test.yaml", "", problems), 1, log_,
                                       metrics_);
    monitor_ = std::make_unique<OverloadMonitor>(*loop_, *router_);
  }
  bool shows(std::string_view line) const {
    return metrics_.expose().find(line) != std::string::npos;
  }
  static constexpr auto kShed = admission::OverloadAction::kShedRequests;

  testing::CapturedLog sink_;
  Log log_{sink_};
  MetricRegistry metrics_;
  std::unique_ptr<net::EventLoop> loop_ = net::testing::make_loop();
  std::unique_ptr<Router> router_;
  std::unique_ptr<OverloadMonitor> monitor_;
};

TEST_F(OverloadMonitorTest, AWorkerThatStandsStillIsSeenTwiceAndTold) {
  EXPECT_EQ(router_->overload().actions(), admission::OverloadActions());
  auto& cell = router_->overload().cell(3);
  cell.beat = 1;
  monitor_->sample();
  EXPECT_FALSE(router_->overload().actions().has(kShed));
  monitor_->sample();
  EXPECT_TRUE(router_->overload().actions().has(kShed));
  EXPECT_TRUE(shows("fairlead_overload_active{action=\"shed_requests\"} 1\n"));
  EXPECT_TRUE(shows("fairlead_overload_pressure{resource=\"loop_lag\"} 1\n"));
  EXPECT_TRUE(sink_.has("overload: shed_requests begins: loop_lag "));
  cell.beat = loop_->now().time_since_epoch().count();
  monitor_->sample();
  EXPECT_FALSE(router_->overload().actions().has(kShed));
  EXPECT_TRUE(sink_.has("overload: shed_requests ends after "));
}

TEST_F(OverloadMonitorTest, SocketsCountAsConnectionsAndAsDescriptors) {
  router_->overload().budget().connections = 9'000;
  router_->overload().cell(0).engine_connections = 2'000'000'000;
  monitor_->sample();
  EXPECT_TRUE(shows("fairlead_overload_pressure{resource=\"connections\"} 0.9\n"));
  EXPECT_TRUE(shows("fairlead_overload_pressure{resource=\"descriptors\"} 1\n"));
  EXPECT_TRUE(router_->overload().actions().has(admission::OverloadAction::kRefuseConnections));
  EXPECT_FALSE(router_->overload().actions().has(admission::OverloadAction::kTightenBuffers));
  EXPECT_TRUE(shows("fairlead_overload_pressure{resource=\"memory\"} 0.0"));
}

}  // namespace
}  // namespace fairlead::router
