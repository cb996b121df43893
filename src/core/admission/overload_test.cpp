// SPDX-License-Identifier: Apache-2.0
#include "core/admission/overload.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>
#include <vector>

namespace fairlead::admission {
namespace {

using Action = OverloadAction;

// Actions in force after each of these pressures of one resource, one after the other.
std::vector<OverloadActions> after(Resource resource, const std::vector<double>& pressures,
                                   const config::OverloadSettings& settings = {}) {
  std::vector<OverloadActions> seen;
  OverloadActions now;
  for (const double pressure : pressures) {
    Pressures all{};
    all[static_cast<std::size_t>(resource)] = pressure;
    now = next_actions(now, all, settings);
    seen.push_back(now);
  }
  return seen;
}

TEST(Overload, NothingIsDoneWithoutPressure) {
  EXPECT_EQ(next_actions({}, pressures_of({}), {}), OverloadActions());
  Readings unlimited{};
  unlimited[0] = {.used = 1'000'000, .limit = 0};
  EXPECT_EQ(pressures_of(unlimited)[0], 0);
}

TEST(Overload, MemoryTakesMilderActionsFirst) {
  const auto seen = after(Resource::kMemory, {0.84, 0.86, 0.91, 0.98});
  EXPECT_EQ(seen[0], OverloadActions());
  EXPECT_TRUE(seen[1].has(Action::kStopKeepalive) && seen[1].has(Action::kTightenBuffers));
  EXPECT_FALSE(seen[1].has(Action::kDropIdle) || seen[1].has(Action::kShedRequests));
  EXPECT_TRUE(seen[2].has(Action::kDropIdle));
  EXPECT_FALSE(seen[2].has(Action::kShedRequests));
  EXPECT_TRUE(seen[3].has(Action::kShedRequests) && seen[3].has(Action::kRefuseConnections));
}

TEST(Overload, AnActionEndsOnlyBelowItsHysteresis) {
  config::OverloadSettings settings;
  settings.shed_requests = 0.9;
  settings.hysteresis = 0.1;
  const auto seen = after(Resource::kLoopLag, {0.89, 0.9, 0.81, 0.79, 0.81}, settings);
  const std::vector<bool> expected = {false, true, true, false, false};
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i].has(Action::kShedRequests), expected[i]) << i;
  }
}

TEST(Overload, AResourceCausesOnlyWhatGivesItBack) {
  const auto only = [](Resource resource) { return after(resource, {2.0}).front(); };
  EXPECT_EQ(only(Resource::kConnections),
            OverloadActions().with(Action::kStopKeepalive).with(Action::kDropIdle));
  EXPECT_EQ(only(Resource::kBufferedBytes), OverloadActions())
      << "or whoever uploads slowly shuts out everybody";
  EXPECT_EQ(only(Resource::kLoopLag), OverloadActions().with(Action::kShedRequests));
  EXPECT_FALSE(only(Resource::kDescriptors).has(Action::kTightenBuffers));
  EXPECT_TRUE(only(Resource::kDescriptors).has(Action::kRefuseConnections));
}

TEST(Overload, TheCauseIsTheWorstOfTheResourcesThatTheActionHelps) {
  Pressures pressures{};
  pressures[static_cast<std::size_t>(Resource::kConnections)] = 5;
  pressures[static_cast<std::size_t>(Resource::kDescriptors)] = 1;
  EXPECT_EQ(cause_of(Action::kShedRequests, pressures), Resource::kDescriptors);
  EXPECT_EQ(cause_of(Action::kDropIdle, pressures), Resource::kConnections);
}

TEST(Overload, EveryNameIsItsOwn) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kResourceCount; ++i) {
    names.insert(to_string(static_cast<Resource>(i)));
  }
  for (std::size_t i = 0; i < kOverloadActionCount; ++i) {
    names.insert(to_string(static_cast<Action>(i)));
  }
  EXPECT_EQ(names.size(), kResourceCount + kOverloadActionCount);
  EXPECT_FALSE(names.contains("unknown"));
}

}  // namespace
}  // namespace fairlead::admission
