// SPDX-License-Identifier: Apache-2.0
// What the simulation itself must do; what it finds is `make sim`'s business.
#include "lab/sim/world.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace fairlead::sim {
namespace {

const std::vector<scheduling::Profile>& policies() {
  static const auto built = sim_policies();
  EXPECT_TRUE(built.has_value());
  return *built;
}

TEST(SimWorld, SameSeedGivesTheSameReportToTheByte) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    const WorldReport once = run_world(seed, policies());
    EXPECT_EQ(describe(once), describe(run_world(seed, policies()))) << seed;
  }
  EXPECT_NE(run_world(1, policies()).digest, run_world(2, policies()).digest);
}

TEST(SimWorld, HoldsWhateverFails) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const WorldReport report = run_world(seed, policies());
    EXPECT_FALSE(report.finding) << describe(report);
    EXPECT_GE(report.requests, kRequestsMin);
    EXPECT_GE(report.faults.size(), kFaultsMin);
  }
}

TEST(SimWorld, MostRequestsAreServedThroughEitherFront) {
  std::size_t complete[2] = {};
  std::size_t all[2] = {};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const WorldReport report = run_world(seed, policies());
    const std::size_t front = report.gateway ? 0 : 1;
    complete[front] += report.ends[static_cast<std::size_t>(ClientEnd::kComplete)];
    all[front] += report.requests;
  }
  for (std::size_t front = 0; front < 2; ++front) {
    EXPECT_GT(complete[front], all[front] * 3 / 4) << front;
    EXPECT_LT(complete[front], all[front]) << front;
  }
}

TEST(SimWorld, SeveralRoutersShareTheRequests) {
  std::size_t worlds[kRoutersMax] = {};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const WorldReport report = run_world(seed, policies());
    ++worlds[report.asked.size() - 1];
    std::size_t asked = 0;
    for (const std::size_t one : report.asked) {
      EXPECT_GT(one, report.requests / kRoutersMax / 2) << seed;
      asked += one;
    }
    const std::size_t turned_away = report.ends[static_cast<std::size_t>(ClientEnd::kTurnedAway)];
    EXPECT_GE(asked + turned_away, report.requests) << seed;  // Who lost a router asks again.
  }
  for (const std::size_t count : worlds) EXPECT_GT(count, 2U);
}

TEST(SimWorld, RoutersEndInOrderOrAreKilledAndWhoComesMeanwhileIsTurnedAway) {
  std::size_t drained = 0;
  std::size_t killed = 0;
  std::size_t turned_away = 0;
  std::size_t requests = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const WorldReport report = run_world(seed, policies());
    drained += report.drained;
    killed += report.killed;
    turned_away += report.ends[static_cast<std::size_t>(ClientEnd::kTurnedAway)];
    requests += report.requests;
  }
  EXPECT_GT(drained, 4U);
  EXPECT_GT(killed, 4U);
  EXPECT_GT(turned_away, 2U);
  EXPECT_LT(turned_away, requests / 10);
}

TEST(SimWorld, RoutersGoOnFromWhatTheySavedUnlessItIsDamaged) {
  std::size_t loaded = 0;
  std::size_t refused = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const WorldReport report = run_world(seed, policies());
    loaded += report.loaded;
    refused += report.refused;
  }
  EXPECT_GT(loaded, 2U);
  EXPECT_GT(refused, 0U);
}

TEST(SimFaults, CutTheWireOfAnyRouterAlone) {
  Random random(7);
  std::size_t cuts[2] = {};
  for (int i = 0; i < 100; ++i) {
    for (const Fault& fault : draw_faults(random, 3, 2)) {
      if (fault.kind == FaultKind::kCutWire) ++cuts[fault.router];
    }
  }
  EXPECT_GT(cuts[0], 5U);
  EXPECT_GT(cuts[1], 5U);
}

TEST(SimFaults, AreOverInTime) {
  Random random(7);
  for (int i = 0; i < 10'000; ++i) {
    const std::vector<Fault> faults = draw_faults(random, 3, 2);
    ASSERT_GE(faults.size(), kFaultsMin);
    for (std::size_t at = 0; at < faults.size(); ++at) {
      EXPECT_GE(faults[at].at, kFaultsBegin);
      EXPECT_LE(faults[at].at + faults[at].lasts, kFaultsOver);
      EXPECT_LT(faults[at].whose, 3U);
      if (at > 0) {
        EXPECT_LE(faults[at - 1].at, faults[at].at);
      }
    }
  }
}

}  // namespace
}  // namespace fairlead::sim
