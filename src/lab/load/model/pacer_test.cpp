// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/pacer.h"

#include <gtest/gtest.h>

#include "lab/load/model/synthetic.h"

namespace fairlead::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Time moment(Duration offset) { return Time(offset); }

Workload two_stages() {
  SyntheticSettings settings;
  settings.prompts = UniquePrompts{10, 1};
  OpenLoop loop;
  loop.arrivals = Arrivals::kConstant;
  loop.stages = {{2, seconds(1), StageKind::kMeasured}, {1, seconds(1), StageKind::kMeasured}};
  loop.pause = seconds(30);
  settings.loop = loop;
  return plan_synthetic(settings).value();
}

TEST(Pacer, AStageWaitsForTheDrainAndThePause) {
  const Workload workload = two_stages();
  Pacer pacer(workload, {}, moment(seconds(100)));
  EXPECT_EQ(pacer.next_due(), moment(seconds(100)));
  EXPECT_EQ(pacer.issue().request, 0u);
  EXPECT_EQ(pacer.next_due(), moment(milliseconds(100500)));
  pacer.finish(moment(milliseconds(100100)));
  const Pacer::Issue second = pacer.issue();
  EXPECT_EQ(second.request, 1u);
  EXPECT_EQ(second.scheduled, moment(milliseconds(100500)));
  EXPECT_EQ(pacer.next_due(), std::nullopt);
  EXPECT_EQ(pacer.in_flight(), 1u);
  pacer.finish(moment(seconds(107)));
  EXPECT_EQ(pacer.spans()[0].end, moment(seconds(107)));
  EXPECT_EQ(pacer.next_due(), moment(seconds(137)));
  EXPECT_EQ(pacer.issue().request, 2u);
  EXPECT_FALSE(pacer.done());
  pacer.finish(moment(seconds(138)));
  EXPECT_TRUE(pacer.done());
  EXPECT_EQ(pacer.next_due(), std::nullopt);
  EXPECT_EQ(pacer.spans()[1].begin, moment(seconds(137)));
}

TEST(Pacer, ModelTimePassesFasterAtSpeed) {
  const Workload workload = two_stages();
  Pacer pacer(workload, TimeScale{10}, moment(seconds(0)));
  pacer.issue();
  EXPECT_EQ(pacer.next_due(), moment(milliseconds(50)));
  pacer.issue();
  pacer.finish(moment(milliseconds(60)));
  pacer.finish(moment(milliseconds(70)));
  EXPECT_EQ(pacer.next_due(), moment(milliseconds(3070)));
}

TEST(Pacer, AClosedLoopKeepsItsConcurrency) {
  SyntheticSettings settings;
  settings.prompts = UniquePrompts{10, 1};
  settings.loop = ClosedLoop{2, 4, {}};
  const Workload workload = plan_synthetic(settings).value();
  Pacer pacer(workload, {}, moment(seconds(0)));
  EXPECT_EQ(pacer.issue().request, 0u);
  EXPECT_EQ(pacer.issue().request, 1u);
  EXPECT_EQ(pacer.next_due(), std::nullopt);
  pacer.finish(moment(seconds(3)));
  const Pacer::Issue third = pacer.issue();
  EXPECT_EQ(third.request, 2u);
  EXPECT_EQ(third.scheduled, moment(seconds(3)));  // The slot was free since then.
  pacer.finish(moment(seconds(4)));
  EXPECT_EQ(pacer.issue().request, 3u);
  pacer.finish(moment(seconds(5)));
  EXPECT_FALSE(pacer.done());
  EXPECT_EQ(pacer.next_due(), std::nullopt);
  pacer.finish(moment(seconds(6)));
  EXPECT_TRUE(pacer.done());
  EXPECT_EQ(pacer.spans()[0].end, moment(seconds(6)));
}

TEST(Pacer, AClosedLoopStopsAtItsLength) {
  SyntheticSettings settings;
  settings.prompts = UniquePrompts{10, 1};
  settings.loop = ClosedLoop{1, 1000, seconds(2)};
  const Workload workload = plan_synthetic(settings).value();
  Pacer pacer(workload, {}, moment(seconds(0)));
  int sent = 0;
  for (Time now{}; !pacer.done(); ++sent) {
    pacer.issue();
    now += milliseconds(500);
    pacer.finish(now);
  }
  EXPECT_EQ(sent, 4);
}

}  // namespace
}  // namespace fairlead::load
