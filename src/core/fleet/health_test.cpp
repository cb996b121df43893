// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/health.h"

#include <gtest/gtest.h>

#include <vector>

namespace fairlead::fleet {
namespace {

using model::Health;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A machine and a clock that moves by hand.
class HealthTest : public ::testing::Test {
 protected:
  void advance(Duration by) {
    now_ += by;
    machine_.tick(settings_, now_);
  }
  void good_probe() { machine_.on_probe_success(settings_, now_); }
  void bad_probe() { machine_.on_failure(Witness::kProbe, settings_, now_); }
  void bad_request() { machine_.on_failure(Witness::kRequest, settings_, now_); }
  void eject() {
    while (machine_.state() != Health::kEjected) bad_probe();
  }
  double share() const { return machine_.admit_share(settings_, now_); }
  // Good probes once a second until the endpoint is back.
  Duration time_until_back() {
    const Time start = now_;
    while (machine_.state() == Health::kEjected && now_ - start < seconds(1000)) {
      advance(seconds(1));
      good_probe();
    }
    return now_ - start;
  }

  config::HealthSettings settings_;
  HealthMachine machine_;
  Time now_{};
};

TEST_F(HealthTest, TheFirstGoodProbeBringsTheFullShare) {
  EXPECT_EQ(machine_.state(), Health::kUnknown);
  for (int i = 0; i < 10; ++i) bad_probe();
  EXPECT_EQ(machine_.state(), Health::kUnknown);
  good_probe();
  EXPECT_EQ(machine_.state(), Health::kHealthy);
  EXPECT_EQ(share(), 1.0);
}

TEST_F(HealthTest, FailuresInARowEjectAndAServedRequestEndsTheRow) {
  good_probe();
  bad_request();
  bad_request();
  machine_.on_request_success();
  bad_request();
  bad_request();
  EXPECT_EQ(machine_.state(), Health::kHealthy);
  bad_request();
  EXPECT_EQ(machine_.state(), Health::kEjected);
  EXPECT_EQ(machine_.ejections(), 1U);
}

TEST_F(HealthTest, GoodProbesDoNotHideFailingRequests) {
  good_probe();
  for (int i = 0; i < 2; ++i) {
    bad_request();
    advance(seconds(1));
    good_probe();
  }
  EXPECT_EQ(machine_.state(), Health::kHealthy);
  bad_request();
  EXPECT_EQ(machine_.state(), Health::kEjected);
}

TEST_F(HealthTest, ProbesAndRequestsCountTogether) {
  good_probe();
  bad_probe();
  bad_request();
  EXPECT_EQ(machine_.state(), Health::kHealthy);
  bad_probe();
  EXPECT_EQ(machine_.state(), Health::kEjected);
}

TEST_F(HealthTest, AnEjectionLastsItsTimeAndEndsByAGoodProbe) {
  good_probe();
  eject();
  advance(seconds(5) - milliseconds(1));
  good_probe();
  machine_.on_request_success();
  EXPECT_EQ(machine_.state(), Health::kEjected);
  advance(milliseconds(1));
  machine_.on_request_success();
  EXPECT_EQ(machine_.state(), Health::kEjected);
  good_probe();
  EXPECT_EQ(machine_.state(), Health::kReturning);
}

TEST_F(HealthTest, AnEndpointStillDownWaitsAgainButLateRequestsDoNotProlong) {
  good_probe();
  eject();
  advance(seconds(6));
  bad_request();
  good_probe();
  EXPECT_EQ(machine_.state(), Health::kReturning);
  eject();
  advance(seconds(10));
  bad_probe();
  advance(seconds(4));
  good_probe();
  EXPECT_EQ(machine_.state(), Health::kEjected);
  advance(seconds(1));
  good_probe();
  EXPECT_EQ(machine_.state(), Health::kReturning);
}

TEST_F(HealthTest, TheReturnIsSlowAndInTenths) {
  good_probe();
  eject();
  time_until_back();
  ASSERT_EQ(machine_.state(), Health::kReturning);
  EXPECT_EQ(share(), 0.1);
  std::vector<double> steps{share()};
  while (machine_.state() == Health::kReturning) {
    advance(milliseconds(50));
    good_probe();
    ASSERT_GE(share(), steps.back());
    if (share() != steps.back()) steps.push_back(share());
  }
  EXPECT_EQ(machine_.state(), Health::kHealthy);
  EXPECT_EQ(steps.back(), 1.0);
  EXPECT_EQ(steps.size(), 10U);
}

TEST_F(HealthTest, WithoutARampTheReturnIsImmediate) {
  settings_.return_ramp = Duration{};
  good_probe();
  eject();
  time_until_back();
  EXPECT_EQ(share(), 1.0);
  advance(milliseconds(1));
  EXPECT_EQ(machine_.state(), Health::kHealthy);
}

TEST_F(HealthTest, RelapsesDoubleTheEjectionUpToItsBound) {
  good_probe();
  std::vector<Duration> lengths;
  for (int i = 0; i < 6; ++i) {
    eject();
    lengths.push_back(time_until_back());
  }
  const std::vector<Duration> expected = {seconds(5),  seconds(10), seconds(20),
                                          seconds(40), seconds(60), seconds(60)};
  EXPECT_EQ(lengths, expected);
}

TEST_F(HealthTest, ALongHealthySpellForgetsRelapses) {
  good_probe();
  eject();
  time_until_back();
  eject();
  EXPECT_EQ(time_until_back(), seconds(10));
  advance(settings_.return_ramp);
  ASSERT_EQ(machine_.state(), Health::kHealthy);
  advance(settings_.eject_max - milliseconds(1));
  eject();
  EXPECT_EQ(time_until_back(), seconds(20));
  advance(settings_.return_ramp);
  advance(settings_.eject_max);
  eject();
  EXPECT_EQ(time_until_back(), seconds(5));
  EXPECT_EQ(machine_.ejections(), 4U);
}

}  // namespace
}  // namespace fairlead::fleet
