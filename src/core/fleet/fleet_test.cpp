// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/fleet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fairlead::fleet {
namespace {

using config::EndpointSetting;
using model::EndpointRef;
using model::Health;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = Effect::Kind;

EndpointSetting at_port(std::string name, std::uint16_t port) {
  return {std::move(name), {"127.0.0.1", port}, {}};
}

std::vector<EndpointSetting> many(std::uint32_t count) {
  std::vector<EndpointSetting> members;
  for (std::uint32_t i = 0; i < count; ++i) {
    members.push_back(at_port("e" + std::to_string(i), static_cast<std::uint16_t>(1000 + i)));
  }
  return members;
}

codec::EngineMetrics load_of(double waiting, double running, double kv_usage) {
  codec::EngineMetrics metrics;
  metrics.waiting = waiting;
  metrics.running = running;
  metrics.kv_usage = kv_usage;
  return metrics;
}

class FleetTest : public ::testing::Test {
 protected:
  void set(const std::vector<EndpointSetting>& members) {
    const auto done = fleet_.set_members(members, now_);
    ASSERT_TRUE(done.has_value()) << done.error().message;
  }
  const std::vector<Work>& tick(Duration after = Duration{}) {
    now_ += after;
    due_.clear();
    fleet_.tick(now_, due_);
    return due_;
  }
  // A second later. What it told of others.
  OthersLoad ask_and_scrape(EndpointRef endpoint, const codec::EngineMetrics& metrics) {
    now_ += seconds(1);
    fleet_.on_scrape_asked(endpoint);
    fleet_.on_scrape(endpoint, metrics, load_, now_);
    return load_.read(endpoint.slot).others;
  }
  std::vector<WorkKind> due_for(EndpointRef ref) const {
    std::vector<WorkKind> kinds;
    for (const Work& work : due_) {
      if (work.endpoint == ref) kinds.push_back(work.kind);
    }
    return kinds;
  }
  std::vector<Effect> effects() {
    std::vector<Effect> out;
    fleet_.take_effects(out);
    return out;
  }
  std::vector<Kind> effect_kinds() {
    std::vector<Kind> kinds;
    for (const Effect& effect : effects()) kinds.push_back(effect.kind);
    return kinds;
  }
  model::Endpoint endpoint(std::string_view name) const {
    for (const model::Endpoint& endpoint : fleet_.snapshot().endpoints) {
      if (endpoint.name == name) return endpoint;
    }
    ADD_FAILURE() << "no endpoint " << name;
    return {};
  }
  EndpointRef ref(std::string_view name) const { return endpoint(name).ref; }
  void probe(std::string_view name, ProbeResult result) {
    fleet_.on_probe(ref(name), result, now_);
  }
  void see(std::string_view name, model::Observation::Kind kind,
           model::UpstreamFailure failure = model::UpstreamFailure::kConnectRefused) {
    fleet_.observe({ref(name), kind, failure, now_}, now_);
  }
  void scrape(std::string_view name, const codec::EngineMetrics& metrics) {
    fleet_.on_scrape(ref(name), metrics, load_, now_);
  }

  config::FleetSettings settings_;
  config::PrefixSettings prefix_;
  InFlightTable inflight_;
  LoadTable load_;
  Fleet fleet_{settings_, prefix_, inflight_, Random(1)};
  std::vector<Work> due_;
  Time now_{seconds(100)};
};

TEST_F(FleetTest, MembersTakeSlotsInOrderAndKeepThemAcrossReloads) {
  set({at_port("a", 1), at_port("b", 2)});
  EXPECT_EQ(ref("a"), (EndpointRef{0, 0}));
  EXPECT_EQ(ref("b"), (EndpointRef{1, 0}));
  EXPECT_EQ(effect_kinds(), (std::vector{Kind::kJoin, Kind::kJoin}));
  probe("a", ProbeResult::kGood);
  EndpointSetting relabelled = at_port("a", 1);
  relabelled.labels = {{"role", "decode"}};
  set({at_port("c", 3), relabelled});
  EXPECT_EQ(ref("a"), (EndpointRef{0, 0}));
  EXPECT_EQ(endpoint("a").health, Health::kHealthy);
  EXPECT_EQ(endpoint("a").label("role"), "decode");
  EXPECT_EQ(ref("c"), (EndpointRef{2, 0}));
  EXPECT_EQ(effect_kinds(), (std::vector{Kind::kRetire, Kind::kJoin}));
}

TEST_F(FleetTest, ASlotRestsUntilItsTimeAndItsLastRequestAreOver) {
  set({at_port("a", 1)});
  InFlightShare share(inflight_, ref("a"), 100);
  set({});
  now_ += Fleet::kSlotRest - milliseconds(1);
  set({at_port("b", 2)});
  EXPECT_EQ(ref("b"), (EndpointRef{1, 0}));
  now_ += milliseconds(1);
  set({at_port("b", 2), at_port("c", 3)});
  EXPECT_EQ(ref("c"), (EndpointRef{2, 0})) << "a request is still in flight in slot 0";
  share.release();
  effects();
  set({at_port("b", 2), at_port("c", 3), at_port("d", 4)});
  EXPECT_EQ(ref("d"), (EndpointRef{0, 1}));
  const auto joined = effects();
  ASSERT_EQ(joined.size(), 1U);
  EXPECT_EQ(joined[0].kind, Kind::kJoin) << "a late request may have written to the slot's rows";
  EXPECT_EQ(joined[0].endpoint, (EndpointRef{0, 1}));
}

codec::EngineMetrics prefill_of(double queries, double prompt_tokens, double running) {
  codec::EngineMetrics metrics = load_of(0, running, 0);
  metrics.prefix_queries = queries;
  metrics.prompt_tokens = prompt_tokens;
  return metrics;
}

TEST_F(FleetTest, ScrapesTellWhatOthersSentToAnEndpoint) {
  set({at_port("a", 1)});
  const EndpointRef a = ref("a");
  EXPECT_EQ(ask_and_scrape(a, prefill_of(0, 0, 0)), OthersLoad{});
  std::optional<InFlightShare> share(std::in_place, inflight_, a, 100);
  now_ += seconds(1);
  fleet_.on_scrape_asked(a);
  share.reset();
  // 100 of the 700 were this router's when it asked.
  fleet_.on_scrape(a, prefill_of(700, 0, 2), load_, now_);
  EXPECT_EQ(load_.read(a.slot).others.tokens, 600);
  EXPECT_GT(ask_and_scrape(a, prefill_of(700, 0, 9)).decoding, 2);
  // Nothing is known of its own at the time of figures that it did not ask for.
  now_ += seconds(1);
  fleet_.on_scrape_asked({a.slot, a.generation + 1});
  fleet_.on_scrape(a, prefill_of(800, 0, 9), load_, now_);
  EXPECT_EQ(load_.read(a.slot).others, OthersLoad{});
}

TEST_F(FleetTest, ARestartedEngineHasNothingOfItsFormerOthers) {
  set({at_port("a", 1)});
  const EndpointRef a = ref("a");
  const auto told = [&](codec::EngineMetrics metrics, double started_at) {
    metrics.process_start_time = started_at;
    return ask_and_scrape(a, metrics);
  };
  told(prefill_of(0, 0, 0), 1);
  EXPECT_EQ(told(prefill_of(900, 200, 5), 1).tokens, 700);
  EXPECT_GT(told(prefill_of(900, 900, 5), 1).decoding, 2);
  EXPECT_EQ(told(prefill_of(1000, 900, 5), 2), OthersLoad{});
}

TEST_F(FleetTest, ANewAddressUnderAnOldNameIsAnotherEndpoint) {
  set({at_port("a", 1)});
  probe("a", ProbeResult::kGood);
  const EndpointRef old = ref("a");
  effects();
  set({at_port("a", 2)});
  EXPECT_NE(ref("a"), old);
  EXPECT_EQ(endpoint("a").health, Health::kUnknown);
  EXPECT_EQ(effect_kinds(), (std::vector{Kind::kRetire, Kind::kJoin}));
  fleet_.on_probe(old, ProbeResult::kGood, now_);
  fleet_.on_models(old, {{"m", "", 0, 0, ""}});
  fleet_.on_scrape(old, load_of(7, 7, 0.7), load_, now_);
  EXPECT_EQ(endpoint("a").health, Health::kUnknown);
  EXPECT_TRUE(endpoint("a").models.empty());
  EXPECT_EQ(load_.read(old.slot).waiting, 0.0F);
}

TEST_F(FleetTest, LateResultsDoNotMeetASlotsNextOwnerOfTheSameName) {
  set({at_port("a", 1)});
  const EndpointRef old = ref("a");
  set({});
  now_ += Fleet::kSlotRest;
  set({at_port("a", 1)});
  ASSERT_EQ(ref("a"), (EndpointRef{old.slot, old.generation + 1}));
  fleet_.on_probe(old, ProbeResult::kGood, now_);
  fleet_.observe(
      {old, model::Observation::Kind::kFailure, model::UpstreamFailure::kConnectRefused, now_},
      now_);
  EXPECT_EQ(endpoint("a").health, Health::kUnknown);
}

TEST_F(FleetTest, TwoMembersOfOneNameOrAddressAreRefusedWhole) {
  set({at_port("a", 1)});
  auto twice = fleet_.set_members({at_port("b", 2), at_port("b", 3)}, now_);
  ASSERT_FALSE(twice.has_value());
  EXPECT_EQ(twice.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(twice.error().message.find("two endpoints are named b"), std::string::npos);
  twice = fleet_.set_members({at_port("b", 2), at_port("c", 2)}, now_);
  ASSERT_FALSE(twice.has_value());
  EXPECT_NE(twice.error().message.find("b and c are both at 127.0.0.1:2"), std::string::npos);
  EXPECT_EQ(fleet_.snapshot().endpoints.size(), 1U);
  EXPECT_EQ(endpoint("a").port, 1);
}

TEST_F(FleetTest, WhatDoesNotFitIsNamedAndJoinsWhenASlotIsFree) {
  auto members = many(model::kMaxEndpoints);
  members.push_back({"last", {"127.0.0.2", 1}, {}});
  const auto full = fleet_.set_members(members, now_);
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().code, ErrorCode::kLimitExceeded);
  EXPECT_NE(full.error().message.find("last"), std::string::npos);
  EXPECT_EQ(fleet_.snapshot().endpoints.size(), model::kMaxEndpoints);
  members.erase(members.begin() + 17);
  EXPECT_FALSE(fleet_.set_members(members, now_).has_value());
  tick(Fleet::kSlotRest - milliseconds(1));
  EXPECT_EQ(fleet_.snapshot().endpoints.size(), model::kMaxEndpoints - 1);
  tick(milliseconds(1));
  EXPECT_EQ(ref("last"), (EndpointRef{17, 1}));
  const auto endpoints = fleet_.snapshot().endpoints;
  EXPECT_TRUE(std::ranges::is_sorted(endpoints, {}, [](const auto& e) { return e.ref.slot; }));
}

TEST_F(FleetTest, EachKindOfWorkHasItsOwnPace) {
  set({at_port("a", 1)});
  const EndpointRef a = ref("a");
  tick();
  EXPECT_EQ(due_for(a), std::vector{WorkKind::kProbe}) << "only probes before it is healthy";
  tick(milliseconds(50));
  EXPECT_TRUE(due_for(a).empty());
  probe("a", ProbeResult::kGood);
  EXPECT_LE(fleet_.next_tick(), now_) << "its models are wanted at once";
  tick();
  EXPECT_EQ(due_for(a), std::vector{WorkKind::kModels});
  fleet_.on_models(a, {{"m", "", 0, 0, ""}});
  int probes = 0, scrapes = 0, models = 0;
  for (Duration spent{}; spent < seconds(20); spent += milliseconds(50)) {
    tick(milliseconds(50));
    for (const WorkKind kind : due_for(a)) {
      ++(kind == WorkKind::kProbe ? probes : kind == WorkKind::kScrape ? scrapes : models);
    }
  }
  EXPECT_EQ(probes, 20);
  EXPECT_NEAR(scrapes, 400, 20) << "with jitter";
  // Asked again a second after the first question, which had no answer yet, then every ten.
  EXPECT_EQ(models, 2);
}

TEST_F(FleetTest, ANewcomerIsProbedAtOnceAndTheOthersKeepTheirPace) {
  set({at_port("a", 1)});
  tick();
  set({at_port("a", 1), at_port("b", 2)});
  EXPECT_LE(fleet_.next_tick(), now_);
  tick(milliseconds(10));
  EXPECT_TRUE(due_for(ref("a")).empty());
  EXPECT_EQ(due_for(ref("b")), std::vector{WorkKind::kProbe});
}

TEST_F(FleetTest, ModelsAreAskedForUntilTheyAreKnown) {
  set({at_port("a", 1)});
  tick();
  probe("a", ProbeResult::kGood);
  int asked = 0;
  for (int i = 0; i < 60; ++i) {
    tick(milliseconds(50));
    asked += static_cast<int>(std::ranges::count(due_for(ref("a")), WorkKind::kModels));
  }
  EXPECT_EQ(asked, 3);
  fleet_.take_changed();
  fleet_.on_models(ref("a"), {{"llama", "", 8192, 0, ""}, {"adapter", "llama", 0, 0, ""}});
  EXPECT_TRUE(fleet_.take_changed());
  EXPECT_EQ(endpoint("a").models, (std::vector<std::string>{"llama", "adapter"}));
  fleet_.on_models(ref("a"), {{"llama", "", 8192, 0, ""}, {"adapter", "llama", 0, 0, ""}});
  EXPECT_FALSE(fleet_.take_changed()) << "the same list is no news";
  EXPECT_TRUE(fleet_.snapshot().is_adapter("adapter"));
  EXPECT_FALSE(fleet_.snapshot().is_adapter("llama"));
}

TEST_F(FleetTest, OneEngineDoesNotSayForAllWhatAnAdapterIs) {
  set({at_port("a", 1), at_port("b", 2), at_port("c", 3)});
  tick();
  for (const char* name : {"a", "b"}) {
    fleet_.on_models(ref(name), {{"llama", "", 0, 0, ""}, {"sql", "llama", 0, 0, ""}});
  }
  const codec::ModelCard wrong{"llama", "other", 0, 0, ""};
  fleet_.on_models(ref("c"), {wrong, wrong, wrong, {"sql", "", 0, 0, ""}});
  EXPECT_FALSE(fleet_.snapshot().is_adapter("llama"));
  EXPECT_TRUE(fleet_.snapshot().is_adapter("sql"));
}

TEST_F(FleetTest, EjectionForgetsOnceAndStopsScrapes) {
  set({at_port("a", 1)});
  tick();
  probe("a", ProbeResult::kGood);
  tick(milliseconds(50));
  effects();
  fleet_.take_changed();
  for (int i = 0; i < 5; ++i) see("a", model::Observation::Kind::kFailure);
  EXPECT_TRUE(fleet_.take_changed());
  EXPECT_EQ(endpoint("a").health, Health::kEjected);
  EXPECT_EQ(effect_kinds(), std::vector{Kind::kForget});
  EXPECT_EQ(fleet_.status()[0].ejections, 1U);
  tick(milliseconds(50));
  EXPECT_TRUE(due_for(ref("a")).empty());
  tick(seconds(1));
  EXPECT_EQ(due_for(ref("a")), std::vector{WorkKind::kProbe});
}

TEST_F(FleetTest, FailuresThatARequestMayCauseNeverEmptyThePool) {
  set({at_port("a", 1), at_port("b", 2), at_port("c", 3)});
  for (const char* name : {"a", "b", "c"}) probe(name, ProbeResult::kGood);
  const auto poison = [&](std::string_view name) {
    for (int i = 0; i < 10; ++i) {
      see(name, model::Observation::Kind::kFailure, model::UpstreamFailure::kResetBeforeResponse);
    }
  };
  for (const char* name : {"a", "b", "c"}) poison(name);
  EXPECT_EQ(endpoint("a").health, Health::kEjected);
  EXPECT_EQ(endpoint("b").health, Health::kHealthy);
  EXPECT_EQ(endpoint("c").health, Health::kHealthy);
  for (int i = 0; i < 3; ++i) probe("b", ProbeResult::kBad);
  EXPECT_EQ(endpoint("b").health, Health::kEjected) << "probes are nobody's poison";
  for (int i = 0; i < 3; ++i) see("c", model::Observation::Kind::kFailure);
  EXPECT_EQ(endpoint("c").health, Health::kEjected) << "a refused connection is nobody's poison";
  EXPECT_EQ(fleet_.status()[1].failed_requests, 10U);
}

TEST_F(FleetTest, TroubleIsToldWhenItChanges) {
  set({at_port("a", 1)});
  tick();
  effects();
  const Work work{WorkKind::kModels, ref("a")};
  fleet_.note(work, "GET /v1/models: status 401");
  fleet_.note(work, "GET /v1/models: status 401");
  const auto told = effects();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].kind, Kind::kTrouble);
  EXPECT_EQ(told[0].why, "GET /v1/models: status 401");
  EXPECT_EQ(fleet_.status()[0].trouble, "GET /v1/models: status 401");
  fleet_.note(work, "");
  EXPECT_EQ(fleet_.status()[0].trouble, "");
  EXPECT_TRUE(effects().empty());
}

TEST_F(FleetTest, OtherPrefixSettingsSetEveryBudgetAnew) {
  set({at_port("a", 1), at_port("b", 2)});
  tick();
  effects();
  prefix_.bytes_per_endpoint = 1000;
  fleet_.reconfigure(settings_, prefix_, now_);
  const auto told = effects();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].kind, Kind::kSetBudget);
  EXPECT_EQ(told[1].bytes, 1000U);
  fleet_.reconfigure(settings_, prefix_, now_);
  EXPECT_TRUE(effects().empty());
}

TEST_F(FleetTest, StaleConnectionsAndSuccessesDoNotEject) {
  set({at_port("a", 1)});
  probe("a", ProbeResult::kGood);
  for (int i = 0; i < 10; ++i) {
    see("a", model::Observation::Kind::kFailure, model::UpstreamFailure::kStaleConnection);
    see("a", model::Observation::Kind::kFailure);
    see("a", model::Observation::Kind::kSuccess);
  }
  EXPECT_EQ(endpoint("a").health, Health::kHealthy);
}

TEST_F(FleetTest, AReturnRepublishesOnceATenth) {
  set({at_port("a", 1)});
  probe("a", ProbeResult::kGood);
  for (int i = 0; i < 3; ++i) probe("a", ProbeResult::kBad);
  tick(seconds(5));
  probe("a", ProbeResult::kGood);
  EXPECT_EQ(endpoint("a").health, Health::kReturning);
  EXPECT_EQ(endpoint("a").admit_share, 0.1);
  fleet_.take_changed();
  int published = 0;
  for (int i = 0; i < 400; ++i) {
    tick(milliseconds(50));
    if (fleet_.take_changed()) ++published;
  }
  EXPECT_EQ(endpoint("a").health, Health::kHealthy);
  EXPECT_EQ(endpoint("a").admit_share, 1.0);
  EXPECT_EQ(published, 9);
}

TEST_F(FleetTest, ScrapesFillTheLoadTableUntilTheyAreStale) {
  set({at_port("a", 1)});
  probe("a", ProbeResult::kGood);
  scrape("a", load_of(3, 5, 0.25));
  const LoadRow row = load_.read(0);
  EXPECT_EQ(row.waiting, 3.0F);
  EXPECT_EQ(row.running, 5.0F);
  EXPECT_EQ(row.kv_usage, 0.25F);
  EXPECT_EQ(row.scraped_at, now_);
  effects();
  scrape("a", {});
  tick(Fleet::kLoadStale);
  EXPECT_TRUE(effects().empty());
  tick(milliseconds(1));
  EXPECT_EQ(effect_kinds(), std::vector{Kind::kStaleLoad});
  tick(seconds(5));
  EXPECT_TRUE(effects().empty()) << "told once";
  scrape("a", load_of(1, 1, 0.1));
  tick(Fleet::kLoadStale + milliseconds(1));
  EXPECT_EQ(effect_kinds(), std::vector{Kind::kStaleLoad});
}

TEST_F(FleetTest, AnEndpointWhoseScrapesFailIsAskedLessOftenUntilItAnswers) {
  set({at_port("a", 1), at_port("b", 2)});
  probe("a", ProbeResult::kGood);
  probe("b", ProbeResult::kGood);
  const auto asked_in = [&](Duration span, EndpointRef ref, bool failing) {
    int asked = 0;
    for (Duration spent{}; spent < span; spent += milliseconds(5)) {
      tick(milliseconds(5));
      if (!std::ranges::count(due_for(ref), WorkKind::kScrape)) continue;
      ++asked;
      if (failing) fleet_.on_scrape_failed(ref, now_);
    }
    return asked;
  };
  // At 0, 100, 300, 700, 1,500 ms and then every second.
  EXPECT_NEAR(asked_in(seconds(2), ref("a"), true), 5, 1);
  EXPECT_NEAR(asked_in(seconds(10), ref("a"), true), 10, 1);
  EXPECT_NEAR(asked_in(seconds(1), ref("b"), false), 20, 2) << "the others keep their pace";
  EXPECT_EQ(endpoint("a").health, Health::kHealthy) << "scrapes do not eject";
  scrape("a", load_of(1, 1, 0.1));
  asked_in(seconds(1), ref("a"), false);
  EXPECT_NEAR(asked_in(seconds(1), ref("a"), false), 20, 2);
}

TEST_F(FleetTest, ALargeFleetIsScrapedInBatchesAndEachEndpointOnceARound) {
  set(many(1000));
  for (const model::Endpoint& e : fleet_.snapshot().endpoints) {
    fleet_.on_probe(e.ref, ProbeResult::kGood, now_);
  }
  fleet_.reconfigure(settings_, prefix_, now_);
  std::map<std::uint32_t, int> asked;
  std::size_t largest = 0;
  // Ten batches are two rounds.
  for (int ticks = 0, batches = 0; batches < 10 && ticks < 1000; ++ticks) {
    tick(std::max(Duration{}, fleet_.next_tick() - now_));
    const auto is_scrape = [](const Work& work) { return work.kind == WorkKind::kScrape; };
    const auto scrapes = static_cast<std::size_t>(std::ranges::count_if(due_, is_scrape));
    for (const Work& work : due_) {
      if (is_scrape(work)) ++asked[work.endpoint.slot];
    }
    if (scrapes == 0) continue;
    largest = std::max(largest, scrapes);
    // Who leaves in the middle of a round is nobody else's loss.
    if (++batches != 2) continue;
    auto fewer = many(1000);
    fewer.erase(fewer.begin() + 10, fewer.begin() + 20);
    set(fewer);
  }
  EXPECT_EQ(largest, 200U);
  EXPECT_EQ(asked.size(), 1000U);
  for (const auto& [slot, times] : asked) {
    EXPECT_EQ(times, slot >= 10 && slot < 20 ? 1 : 2) << slot;
  }
}

TEST_F(FleetTest, ScrapesTellTheAdaptersThatAnEngineHas) {
  set({at_port("a", 1)});
  probe("a", ProbeResult::kGood);
  codec::EngineMetrics metrics = load_of(0, 1, 0);
  metrics.lora = codec::LoraMetrics{{"sql", "chat"}, std::vector<std::string>(20, "code"), 30};
  scrape("a", metrics);
  EXPECT_EQ(load_.fit(0, adapter_hash("chat")).where, AdapterFit::Where::kActive);
  EXPECT_EQ(load_.fit(0, adapter_hash("code")).where, AdapterFit::Where::kWaiting);
  EXPECT_EQ(load_.fit(0, adapter_hash("other")).where, AdapterFit::Where::kNowhere);
  EXPECT_EQ(load_.fit(0, adapter_hash("other")).room, 8.0F);
  scrape("a", load_of(0, 1, 0));
  EXPECT_EQ(load_.fit(0, adapter_hash("chat")).where, AdapterFit::Where::kNowhere);
}

TEST_F(FleetTest, ARestartForgetsAndAsksForTheModelsAgain) {
  set({at_port("a", 1)});
  probe("a", ProbeResult::kGood);
  tick();
  fleet_.on_models(ref("a"), {{"m", "", 0, 0, ""}});
  tick(seconds(1));
  effects();
  auto metrics = load_of(0, 0, 0);
  metrics.process_start_time = 1000.0;
  metrics.prefix_queries = 500;
  scrape("a", metrics);
  metrics.prefix_queries = 700;
  scrape("a", metrics);
  EXPECT_TRUE(effects().empty());
  metrics.process_start_time = 1001.0;
  metrics.prefix_queries = 800;
  scrape("a", metrics);
  EXPECT_EQ(effect_kinds(), std::vector{Kind::kForget}) << "another process";
  tick(milliseconds(50));
  EXPECT_EQ(std::ranges::count(due_for(ref("a")), WorkKind::kModels), 1);
  metrics.process_start_time.reset();
  metrics.prefix_queries = 10;
  scrape("a", metrics);
  EXPECT_EQ(effect_kinds(), std::vector{Kind::kForget}) << "a counter went back";
  scrape("a", metrics);
  EXPECT_TRUE(effects().empty());
}

TEST_F(FleetTest, TheBudgetFollowsTheReportedCache) {
  set({at_port("a", 1)});
  effects();
  auto metrics = load_of(0, 0, 0);
  metrics.block_size = 16;
  scrape("a", metrics);
  EXPECT_TRUE(effects().empty());
  metrics.num_gpu_blocks = 1000;
  scrape("a", metrics);
  scrape("a", metrics);
  auto told = effects();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].kind, Kind::kSetBudget);
  EXPECT_EQ(told[0].bytes, 16U * 1000 * 4);
  metrics.num_gpu_blocks = 2000;
  scrape("a", metrics);
  told = effects();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].bytes, 16U * 2000 * 4);
  metrics.block_size = ~std::uint64_t{0};
  metrics.num_gpu_blocks = ~std::uint64_t{0};
  scrape("a", metrics);
  told = effects();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].bytes, std::uint64_t{4} << 30) << "no engine is believed beyond the bound";
}

TEST_F(FleetTest, AConfiguredBudgetIsNotOverruled) {
  prefix_.bytes_per_endpoint = 1 << 20;
  Fleet fleet(settings_, prefix_, inflight_, Random(1));
  ASSERT_TRUE(fleet.set_members({at_port("a", 1)}, now_).has_value());
  std::vector<Effect> told;
  fleet.take_effects(told);
  told.clear();
  auto metrics = load_of(0, 0, 0);
  metrics.block_size = 16;
  metrics.num_gpu_blocks = 1000;
  fleet.on_scrape({0, 0}, metrics, load_, now_);
  fleet.take_effects(told);
  EXPECT_TRUE(told.empty());
}

}  // namespace
}  // namespace fairlead::fleet
