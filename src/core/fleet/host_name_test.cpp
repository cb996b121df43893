// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/host_name.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/fleet/fleet.h"

namespace fairlead::fleet {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Kind = Effect::Kind;

NameAnswer found(std::vector<std::string> addresses, Duration ttl = seconds(30)) {
  return {std::move(addresses), ttl, false, ""};
}
NameAnswer failed(std::string_view why = "no such name") { return {{}, Duration{}, false, why}; }

TEST(HostName, IsAskedForAtOnceAndThenByItsTtlWithinBounds) {
  Time now{seconds(100)};
  HostName name("engine.test");
  EXPECT_LE(name.next(), now);
  name.ask();
  EXPECT_EQ(name.next(), Time::max()) << "one lookup at a time";
  const std::pair<Duration, Duration> waits[] = {{seconds(30), seconds(30)},
                                                 {seconds(0), HostName::kTtlMin},
                                                 {seconds(4), HostName::kTtlMin},
                                                 {minutes(5), HostName::kTtlMax},
                                                 {minutes(500), HostName::kTtlMax}};
  for (const auto& [ttl, wait] : waits) {
    name.ask();
    name.on_answer(found({"10.0.0.1"}, ttl), now);
    EXPECT_EQ(name.next(), now + wait);
  }
  name.on_answer(failed(), now);
  EXPECT_EQ(name.next(), now + HostName::kRetry);
}

TEST(HostName, KeepsTheAddressInUseWhileTheNameHasIt) {
  const Time now{seconds(1)};
  HostName name("engine.test");
  name.on_answer(found({"10.0.0.2", "10.0.0.3"}), now);
  EXPECT_EQ(name.address(), "10.0.0.2");
  EXPECT_EQ(name.trouble(),
            "host engine.test has 2 addresses and 10.0.0.2 is used; name each engine on its own");
  name.on_answer(found({"10.0.0.1", "10.0.0.2"}), now);
  EXPECT_EQ(name.address(), "10.0.0.2") << "not the first, but it is still there";
  name.on_answer(found({"10.0.0.1"}), now);
  EXPECT_EQ(name.address(), "10.0.0.1");
  EXPECT_EQ(name.trouble(), "");
}

TEST(HostName, FailuresAndPartialAnswersKeepTheLastKnownAddress) {
  const Time now{seconds(1)};
  HostName name("engine.test");
  name.on_answer(failed(), now);
  EXPECT_EQ(name.trouble(), "host engine.test: no such name; it takes no traffic yet");
  NameAnswer partial = found({"10.0.0.1"});
  partial.partial = true;
  name.on_answer(partial, now);
  EXPECT_EQ(name.address(), "10.0.0.1") << "better than none";
  partial.addresses = {"::1"};
  name.on_answer(partial, now);
  EXPECT_EQ(name.address(), "10.0.0.1");
  EXPECT_EQ(name.trouble(),
            "host engine.test: only a part of its addresses came; 10.0.0.1 stays in use");
  name.on_answer(failed("timeout"), now);
  EXPECT_EQ(name.trouble(), "host engine.test: timeout; 10.0.0.1 stays in use");
}

TEST(HostName, DoubtAsksSoonerButNotWithinTheShortestTtl) {
  const Time now{seconds(100)};
  HostName name("engine.test");
  name.on_answer(found({"10.0.0.1"}, minutes(5)), now);
  name.doubt(now + seconds(1));
  EXPECT_EQ(name.next(), now + HostName::kTtlMin);
  name.doubt(now + seconds(60));
  EXPECT_EQ(name.next(), now + HostName::kTtlMin) << "never later";
}

class NamedFleet : public ::testing::Test {
 protected:
  void set(const std::vector<std::pair<std::string, std::string>>& hosts) {
    std::vector<config::EndpointSetting> members;
    for (const auto& [name, host] : hosts) members.push_back({name, {host, 8000}, {}});
    ASSERT_TRUE(fleet_.set_members(members, now_).has_value());
  }
  // What falls due of one kind.
  std::vector<model::EndpointRef> due(WorkKind kind) {
    std::vector<Work> all;
    fleet_.tick(now_, all);
    std::vector<model::EndpointRef> refs;
    for (const Work& work : all) {
      if (work.kind == kind) refs.push_back(work.endpoint);
    }
    return refs;
  }
  std::vector<Effect> effects() {
    std::vector<Effect> out;
    fleet_.take_effects(out);
    return out;
  }
  model::Endpoint first() const { return fleet_.snapshot().endpoints.front(); }
  std::string_view trouble() const { return fleet_.status().front().trouble; }

  Time now_{seconds(1000)};
  InFlightTable inflight_;
  Fleet fleet_{config::FleetSettings{}, config::PrefixSettings{}, inflight_, Random(1)};
};

TEST_F(NamedFleet, AnEndpointWithoutAnAddressIsKnownButNotProbed) {
  set({{"a", "engine.test"}, {"b", "10.0.0.9"}});
  ASSERT_EQ(due(WorkKind::kResolve).size(), 1U);
  EXPECT_EQ(first().address, "");
  EXPECT_EQ(first().dial(), "engine.test");
  now_ += seconds(10);
  EXPECT_EQ(due(WorkKind::kProbe).size(), 1U) << "the other one only";
  fleet_.on_answer(first().ref, failed(), now_);
  EXPECT_NE(trouble().find("no such name"), std::string::npos);
  fleet_.on_answer(first().ref, failed(), now_);
  const auto told = effects();
  EXPECT_EQ(std::ranges::count(told, Kind::kTrouble, &Effect::kind), 1) << "once a change";
  now_ += HostName::kRetry;
  EXPECT_EQ(due(WorkKind::kResolve).size(), 1U);
}

TEST_F(NamedFleet, TheFirstAddressIsTakenInPlaceAndProbedAtOnce) {
  set({{"a", "engine.test"}});
  due(WorkKind::kResolve);
  const model::EndpointRef ref = first().ref;
  effects();
  fleet_.take_changed();
  fleet_.on_answer(ref, found({"10.0.0.1"}), now_);
  EXPECT_EQ(first().ref, ref);
  EXPECT_EQ(first().host, "engine.test");
  EXPECT_EQ(first().dial(), "10.0.0.1");
  EXPECT_TRUE(fleet_.take_changed());
  EXPECT_TRUE(effects().empty());
  EXPECT_LE(fleet_.next_tick(), now_);
  EXPECT_EQ(due(WorkKind::kProbe).size(), 1U);
}

TEST_F(NamedFleet, AnotherAddressIsAnotherEngine) {
  set({{"a", "engine.test"}});
  due(WorkKind::kResolve);
  fleet_.on_answer(first().ref, found({"10.0.0.1"}), now_);
  fleet_.on_probe(first().ref, ProbeResult::kGood, now_);
  ASSERT_EQ(first().health, model::Health::kHealthy);
  const model::EndpointRef before = first().ref;
  effects();
  fleet_.on_answer(before, found({"10.0.0.2", "10.0.0.3"}), now_);
  EXPECT_NE(first().ref, before);
  EXPECT_EQ(first().name, "a");
  EXPECT_EQ(first().dial(), "10.0.0.2");
  EXPECT_EQ(first().health, model::Health::kUnknown);
  EXPECT_NE(trouble().find("has 2 addresses"), std::string_view::npos);
  const auto seen = effects();
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[0].kind, Kind::kTrouble);
  EXPECT_EQ(seen[1].kind, Kind::kRetire);
  EXPECT_EQ(seen[1].endpoint, before);
  EXPECT_EQ(seen[1].why, "moved from 10.0.0.1 to 10.0.0.2");
  EXPECT_EQ(seen[2].kind, Kind::kJoin);
  EXPECT_EQ(seen[2].endpoint, first().ref);
  EXPECT_EQ(due(WorkKind::kProbe).size(), 1U);
  fleet_.on_answer(before, found({"10.0.0.1"}), now_);
  EXPECT_EQ(first().dial(), "10.0.0.2") << "a late answer meets nobody";
  set({{"a", "engine.test"}});
  EXPECT_EQ(first().dial(), "10.0.0.2") << "the same list changes nothing";
}

TEST_F(NamedFleet, TwoNamesOfOneEngineAreRemarkedOn) {
  set({{"a", "10.0.0.1"}, {"b", "engine.test"}});
  due(WorkKind::kResolve);
  fleet_.on_answer(fleet_.snapshot().endpoints.back().ref, found({"10.0.0.1"}), now_);
  EXPECT_EQ(fleet_.status().back().trouble,
            "10.0.0.1 port 8000 is endpoint a's too; one engine needs one endpoint");
}

TEST_F(NamedFleet, AnEjectionAsksForTheNameAgain) {
  set({{"a", "engine.test"}});
  due(WorkKind::kResolve);
  fleet_.on_answer(first().ref, found({"10.0.0.1"}, minutes(5)), now_);
  fleet_.on_probe(first().ref, ProbeResult::kGood, now_);
  now_ += HostName::kTtlMin;
  EXPECT_TRUE(due(WorkKind::kResolve).empty());
  for (int i = 0; i < 3; ++i) fleet_.on_probe(first().ref, ProbeResult::kBad, now_);
  ASSERT_EQ(first().health, model::Health::kEjected);
  EXPECT_EQ(due(WorkKind::kResolve).size(), 1U);
}

TEST_F(NamedFleet, LookupsAtATimeAreBoundedAndNobodyIsForgotten) {
  std::vector<std::pair<std::string, std::string>> hosts;
  const auto count = static_cast<int>(2 * Fleet::kLookupsMax + 1);
  for (int i = 0; i < count; ++i) {
    hosts.emplace_back("e" + std::to_string(i), "engine-" + std::to_string(i));
  }
  set(hosts);
  auto out = due(WorkKind::kResolve);
  EXPECT_EQ(out.size(), Fleet::kLookupsMax);
  EXPECT_TRUE(due(WorkKind::kResolve).empty());
  std::size_t asked = 0;
  while (!out.empty()) {
    asked += out.size();
    for (const model::EndpointRef ref : out) fleet_.on_answer(ref, found({"10.0.0.1"}), now_);
    out = due(WorkKind::kResolve);
  }
  EXPECT_EQ(asked, hosts.size());
}

}  // namespace
}  // namespace fairlead::fleet
