// SPDX-License-Identifier: Apache-2.0
#include "lab/world/world.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <tuple>
#include <vector>

#include "lab/world/testing/small_world.h"

namespace fairlead::world {
namespace {

using testing::scorer_profile;
using testing::small_engine;

PreparedWorkload shared_prefixes(std::uint64_t seed) {
  return PreparedWorkload(*testing::plan_shared_prefixes(seed, std::chrono::seconds(20)), 64, 64);
}

WorldResult run(std::string_view scorer, std::uint64_t seed) {
  WorldSettings settings;
  settings.engines = 4;
  settings.engine = small_engine();
  settings.seed = seed;
  return run_world(shared_prefixes(7), scorer_profile(scorer), settings);
}

void expect_same(const WorldResult& a, const WorldResult& b) {
  ASSERT_EQ(a.records.requests.size(), b.records.requests.size());
  EXPECT_EQ(a.steps, b.steps);
  const auto fields = [](const load::RequestRecord& r) {
    return std::tuple(r.request, r.stage, r.scheduled, r.sent, r.first_token, r.finished,
                      r.prompt_tokens, r.cached_tokens, r.output_tokens, r.endpoint, r.status,
                      r.outcome);
  };
  for (std::size_t i = 0; i < a.records.requests.size(); ++i) {
    ASSERT_EQ(fields(a.records.requests[i]), fields(b.records.requests[i])) << i;
  }
}

std::uint64_t found_tokens(const WorldResult& result) {
  std::uint64_t found = 0;
  for (const load::RequestRecord& record : result.records.requests) found += record.cached_tokens;
  return found;
}

double hit_rate(const PreparedWorkload& prepared, const WorldResult& result) {
  return load::summarize(prepared.workload(), result.records, {}).overall.hit_rate;
}

// Four small engines, three routers that listen.
WorldSettings listening(std::uint64_t seed) {
  WorldSettings settings;
  settings.engines = 4;
  settings.engine = small_engine();
  settings.seed = seed;
  settings.routers = 3;
  settings.events.emplace();
  settings.events->expect_for = std::chrono::seconds(2);
  return settings;
}

TEST(World, TheSameSeedGivesTheSameBytes) {
  expect_same(run("externality-cost-scorer", 3), run("externality-cost-scorer", 3));
  const PreparedWorkload prepared = shared_prefixes(7);
  const scheduling::Profile policy = scorer_profile("externality-cost-scorer");
  const WorldResult one = run_world(prepared, policy, listening(3));
  expect_same(one, run_world(prepared, policy, listening(3)));
  const WorldResult other = run_world(prepared, policy, listening(4));
  std::size_t different = 0;
  for (std::size_t i = 0; i < one.records.requests.size(); ++i) {
    different += one.records.requests[i].endpoint != other.records.requests[i].endpoint ? 1 : 0;
  }
  EXPECT_GT(different, one.records.requests.size() / 4);
}

TEST(World, EveryRequestEndsOnceWithAllItsTokensAndNothingIsLeftInFlight) {
  const WorldResult result = run("active-request-scorer", 1);
  EXPECT_EQ(result.inflight_left, 0U);
  for (const load::RequestRecord& record : result.records.requests) {
    EXPECT_EQ(record.outcome, load::Outcome::kOk);
    EXPECT_EQ(record.output_tokens, 60U);
    EXPECT_LE(record.sent, record.first_token);
    EXPECT_LE(record.first_token, record.finished);
    EXPECT_LT(record.cached_tokens, record.prompt_tokens);
  }
}

TEST(World, PrefixAwareRoutingFindsTheCacheAndBlindRoutingDoesNot) {
  const PreparedWorkload prepared = shared_prefixes(7);
  const double aware = hit_rate(prepared, run("externality-cost-scorer", 1));
  const double blind = hit_rate(prepared, run("active-request-scorer", 1));
  EXPECT_GT(aware, 0.8);
  EXPECT_LT(blind, aware - 0.2);
}

// One conversation at a time, over caches that hold less than is sent.
PreparedWorkload one_at_a_time() {
  load::SyntheticSettings settings;
  settings.prompts = load::SharedPrefixPrompts{.groups = 12,
                                               .prompts_per_group = 4,
                                               .system_tokens = 2000,
                                               .question_tokens = 500,
                                               .output_tokens = 300};
  settings.loop = load::ClosedLoop{.concurrency = 1, .requests = 300, .length = {}};
  settings.seed = 5;
  return PreparedWorkload(*load::plan_synthetic(settings), 64, 64);
}

TEST(World, WhatEnginesTellIsWhatTheyHoldAndWhatWasSentIsNot) {
  const PreparedWorkload prepared = one_at_a_time();
  WorldSettings settings = listening(1);
  settings.routers = 1;
  settings.engine.kv_tokens = 8'192;
  const scheduling::Profile policy = scorer_profile("externality-cost-scorer");
  const WorldResult exact = run_world(prepared, policy, settings);
  EXPECT_EQ(exact.routers[0].misjudged_tokens, 0U);
  EXPECT_EQ(exact.routers[0].predicted_tokens, found_tokens(exact));
  EXPECT_GT(exact.routers[0].told_blocks, 0U);
  // What is generated takes room in the caches too, which history cannot know.
  settings.events.reset();
  const WorldResult guess = run_world(prepared, policy, settings);
  EXPECT_GT(guess.routers[0].misjudged_tokens, found_tokens(guess) / 100);
  EXPECT_EQ(guess.routers[0].told_blocks, 0U);
}

// Each prompt comes twice, 20 ms apart: before the engine can have told of the first. How many of
// 40 pairs went to two engines.
std::uint64_t split_pairs(std::optional<Duration> expect_for) {
  load::Workload workload;
  workload.stages.push_back({.name = "pairs", .length = std::chrono::seconds(200)});
  for (std::uint32_t i = 0; i < 40; ++i) {
    workload.parts.push_back({i + 1ULL, 1000});
    for (const auto after : {0, 20}) {
      workload.requests.push_back(
          {.at = std::chrono::seconds(5) * i + std::chrono::milliseconds(after),
           .prompt_tokens = 1000,
           .output_tokens = 10,
           .first_part = i,
           .part_count = 1});
    }
  }
  workload.stages[0].request_count = 80;
  WorldSettings settings = listening(1);
  settings.routers = 1;
  settings.events->expect_for = expect_for;
  const PreparedWorkload prepared(std::move(workload), 64, 64);
  const WorldResult result = run_world(prepared, scorer_profile("prefix-cache-scorer"), settings);
  std::uint64_t split = 0;
  for (std::size_t i = 0; i < 80; i += 2) {
    const auto& requests = result.records.requests;
    split += requests[i].endpoint != requests[i + 1].endpoint ? 1 : 0;
  }
  return split;
}

TEST(World, APromptCountsAsHeldWhereItWasSentUntilItsTimeIsOver) {
  EXPECT_EQ(split_pairs(std::chrono::seconds(2)), 0U);
  EXPECT_GT(split_pairs(std::nullopt), 10U);
  EXPECT_GT(split_pairs(std::chrono::milliseconds(14)), 10U);
}

TEST(World, DelaysOfTheWireAddThemselvesToEachRequest) {
  const PreparedWorkload prepared = one_at_a_time();
  const scheduling::Profile policy = scorer_profile("externality-cost-scorer");
  WorldSettings settings;
  settings.engines = 2;
  settings.engine = small_engine();
  settings.network_delay = {};
  const WorldResult near = run_world(prepared, policy, settings);
  settings.network_delay = std::chrono::milliseconds(7);
  const WorldResult far = run_world(prepared, policy, settings);
  for (std::size_t i = 0; i < near.records.requests.size(); ++i) {
    const load::RequestRecord& a = near.records.requests[i];
    const load::RequestRecord& b = far.records.requests[i];
    ASSERT_EQ(b.first_token - b.sent, a.first_token - a.sent + std::chrono::milliseconds(14)) << i;
    ASSERT_EQ(b.finished - b.sent, a.finished - a.sent + std::chrono::milliseconds(14)) << i;
  }
}

TEST(World, FiguresAndEventsComeWhenTheirDelayIsOver) {
  const PreparedWorkload prepared = shared_prefixes(7);
  WorldSettings settings = listening(1);
  settings.events->expect_for.reset();
  settings.event_delay = std::chrono::hours(1);
  const scheduling::Profile policy = scorer_profile("externality-cost-scorer");
  const WorldResult late = run_world(prepared, policy, settings);
  for (const RouterResult& router : late.routers) EXPECT_EQ(router.predicted_tokens, 0U);
  settings.event_delay = {};
  EXPECT_GT(run_world(prepared, policy, settings).routers[0].predicted_tokens, 0U);

  // Placed by running requests as engines tell, all but blindly when they tell an hour late.
  const scheduling::Profile by_load = scorer_profile("running-requests-size-scorer");
  const auto ttft = [&](Duration delay) {
    settings.scrape_delay = delay;
    const WorldResult result = run_world(prepared, by_load, settings);
    return load::summarize(prepared.workload(), result.records, {}).overall.ttft.mean;
  };
  EXPECT_LT(ttft({}), ttft(std::chrono::seconds(5)));
}

TEST(World, EachRouterKnowsItsOwnDispatchesAndWhatAllEnginesTell) {
  const PreparedWorkload prepared = shared_prefixes(7);
  const scheduling::Profile policy = scorer_profile("externality-cost-scorer");
  const auto run_with = [&](WorldSettings settings, std::uint32_t routers) {
    settings.routers = routers;
    const WorldResult result = run_world(prepared, policy, settings);
    std::uint64_t requests = 0;
    EXPECT_EQ(result.routers.size(), routers);
    for (const RouterResult& router : result.routers) {
      EXPECT_EQ(router.inflight_left, 0U);
      EXPECT_GT(router.requests, prepared.workload().requests.size() / routers / 2);
      requests += router.requests;
    }
    EXPECT_EQ(requests, prepared.workload().requests.size());
    return hit_rate(prepared, result);
  };
  WorldSettings exact = listening(1);
  WorldSettings guess = exact;
  guess.events.reset();
  const double lost = run_with(guess, 1) - run_with(guess, 6);
  EXPECT_GT(lost, 0.02);
  EXPECT_LT(run_with(exact, 1) - run_with(exact, 6), lost / 2);
}

TEST(World, RoutersThatTellEachOtherFindWhatOneWouldFind) {
  const PreparedWorkload prepared = shared_prefixes(7);
  const scheduling::Profile policy = scorer_profile("externality-cost-scorer");
  const auto hits = [&](std::uint32_t routers, std::optional<Duration> exchange_delay) {
    WorldSettings settings = listening(1);
    settings.events.reset();
    settings.routers = routers;
    settings.exchange_delay = exchange_delay;
    return hit_rate(prepared, run_world(prepared, policy, settings));
  };
  const double one = hits(1, {});
  EXPECT_EQ(hits(1, std::chrono::milliseconds(6)), one) << "it has nobody to tell";
  const double apart = hits(6, {});
  const double together = hits(6, std::chrono::milliseconds(6));
  EXPECT_GT(one - apart, 0.02);
  EXPECT_LT(one - together, (one - apart) / 4);
  EXPECT_LT(hits(6, std::chrono::hours(1)), together) << "news that come too late";
}

// Nothing is shared, so all that several routers lack is each other's queues.
TEST(World, RoutersSeeWhatTheOthersSentInTheEnginesFigures) {
  load::SyntheticSettings planned;
  planned.prompts = load::UniquePrompts{.prompt_tokens = 7000, .output_tokens = 20};
  planned.loop = load::OpenLoop{.stages = {{.rate = 25, .length = std::chrono::seconds(60)}}};
  load::Workload workload = *load::plan_synthetic(planned);
  for (std::size_t i = 0; i < workload.requests.size(); ++i) {
    if (i % 8 == 0) continue;
    workload.requests[i].prompt_tokens = 400;
    workload.parts[workload.requests[i].first_part].tokens = 400;
  }
  const PreparedWorkload prepared(std::move(workload), 64, 64);
  const scheduling::Profile policy = scorer_profile("externality-cost-scorer");
  const auto ttft_of = [&](std::uint32_t routers, Duration scrape_interval) {
    WorldSettings settings = listening(1);
    settings.engine.kv_tokens = 1'000'000;
    settings.routers = routers;
    settings.scrape_interval = scrape_interval;
    const WorldResult result = run_world(prepared, policy, settings);
    for (const RouterResult& router : result.routers) {
      EXPECT_EQ(router.others_most > 0, routers > 1 && scrape_interval < std::chrono::hours(1));
    }
    return load::summarize(prepared.workload(), result.records, {}).overall.ttft.mean;
  };
  const double one = ttft_of(1, std::chrono::milliseconds(50));
  const double several = ttft_of(4, std::chrono::milliseconds(50));
  const double blind = ttft_of(4, std::chrono::hours(1));
  EXPECT_GT(blind, 1.1 * one);
  EXPECT_LT(several - one, (blind - one) / 2);
}

// Two halves of a workload, the second later by the pause.
WorldResult run_with_pause(Duration pause) {
  auto workload = testing::plan_shared_prefixes(7, std::chrono::seconds(4));
  const std::size_t half = workload->requests.size() / 2;
  for (std::size_t i = half; i < workload->requests.size(); ++i) workload->requests[i].at += pause;
  return run_world(PreparedWorkload(std::move(*workload), 64, 64),
                   scorer_profile("running-requests-size-scorer"), listening(1));
}

// Were the figures read all the time, this would take hours. The shorter pause leaves them no time
// to be passed over: two readings lie in it at most.
TEST(World, YearsWithoutARequestCostNothingAndChangeNothing) {
  const Duration interval = WorldSettings{}.scrape_interval;
  const WorldResult far = run_with_pause(interval * (std::int64_t{20} * 365 * 24 * 3600));
  const auto& slow = far.records.requests;
  Time ended{};
  for (std::size_t i = 0; i < slow.size() / 2; ++i) ended = std::max(ended, slow[i].finished);
  const WorldResult none = run_with_pause({});
  const Duration idle =
      ended + interval + std::chrono::milliseconds(6) - none.records.requests[slow.size() / 2].sent;
  const WorldResult near = run_with_pause(interval * (idle / interval + 1));
  ASSERT_EQ(near.records.requests.size(), slow.size());
  for (std::size_t i = 0; i < slow.size(); ++i) {
    const load::RequestRecord& a = near.records.requests[i];
    ASSERT_EQ(a.endpoint, slow[i].endpoint) << i;
    ASSERT_EQ(a.first_token - a.sent, slow[i].first_token - slow[i].sent) << i;
  }
}

TEST(World, WhatAnEngineRefusesHasAFailedRecord) {
  load::SyntheticSettings planned;
  planned.prompts = load::SharedPrefixPrompts{.groups = 2,
                                              .prompts_per_group = 2,
                                              .system_tokens = 8000,
                                              .question_tokens = 200,
                                              .output_tokens = 60};
  planned.loop = load::ClosedLoop{.concurrency = 3, .requests = 20, .length = {}};
  const PreparedWorkload prepared(*load::plan_synthetic(planned), 64, 64);
  const WorldResult result =
      run_world(prepared, scorer_profile("active-request-scorer"), listening(1));
  EXPECT_EQ(result.inflight_left, 0U);
  for (const load::RequestRecord& record : result.records.requests) {
    EXPECT_EQ(record.outcome, load::Outcome::kHttpError);
    EXPECT_EQ(record.status, 400);
    EXPECT_EQ(record.output_tokens, 0U);
    EXPECT_EQ(record.finished - record.sent, std::chrono::microseconds(500));
  }
}

// FAIRLEAD_SEED, which make sim sets, chooses the worlds; any failure names the one it saw.
std::uint64_t base_seed() {
  const char* text = std::getenv("FAIRLEAD_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

load::SyntheticSettings random_workload(Random& random) {
  load::SyntheticSettings settings;
  const auto draw = [&](std::uint32_t low, std::uint32_t high) {
    return low + static_cast<std::uint32_t>(random.below(high - low + 1));
  };
  settings.prompts = load::SharedPrefixPrompts{.groups = draw(1, 40),
                                               .prompts_per_group = draw(1, 4),
                                               .system_tokens = draw(1, 3000),
                                               .question_tokens = draw(1, 1500),
                                               .output_tokens = draw(1, 200)};
  if (random.below(2) == 0) {
    settings.loop =
        load::ClosedLoop{.concurrency = draw(1, 80), .requests = draw(1, 600), .length = {}};
  } else {
    const double rate = 1 + 60 * random.uniform();
    settings.loop = load::OpenLoop{.arrivals = load::Arrivals::kPoisson,
                                   .stages = {{.rate = rate, .length = std::chrono::seconds(8)}},
                                   .pause = {}};
  }
  settings.seed = random.next();
  return settings;
}

TEST(World, InRandomWorldsNoRequestIsLostStarvedOrMiscounted) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  for (std::uint64_t world = 0; world < 30; ++world) {
    SCOPED_TRACE(::testing::Message() << "FAIRLEAD_SEED=" << base_seed() << ", world " << world);
    Random random(mix64(base_seed()) + world);
    const PreparedWorkload prepared(*load::plan_synthetic(random_workload(random)), 64, 64);
    WorldSettings settings;
    settings.engines = 1 + static_cast<std::uint32_t>(random.below(7));
    settings.engine = small_engine();
    settings.engine.kv_tokens = 8'192 + static_cast<std::int64_t>(random.below(40'000));
    settings.history_bytes = random.below(2) == 0 ? 0 : 1 + random.below(400'000);
    settings.scrape_interval = std::chrono::milliseconds(1 + random.below(2000));
    settings.seed = random.next();
    settings.routers = 1 + static_cast<std::uint32_t>(random.below(3));
    settings.network_delay = std::chrono::microseconds(random.below(2000));
    settings.scrape_delay = std::chrono::milliseconds(random.below(300));
    if (random.below(2) == 0) {
      settings.events.emplace();
      settings.event_delay = std::chrono::milliseconds(random.below(100));
      if (random.below(2) == 0) settings.events->expect_for = std::chrono::milliseconds(500);
    }
    const auto& scorers = registry.scorers();
    const auto profile = scorer_profile(scorers[random.below(scorers.size())].type);

    const WorldResult result = run_world(prepared, profile, settings);
    EXPECT_EQ(result.inflight_left, 0U);
    for (const load::RequestRecord& record : result.records.requests) {
      const auto& planned = prepared.workload().requests[record.request];
      ASSERT_EQ(record.output_tokens, planned.output_tokens);
      ASSERT_LE(record.scheduled, record.sent);
      ASSERT_LT(record.sent, record.first_token);
      ASSERT_LE(record.first_token, record.finished);
      ASSERT_LT(record.cached_tokens, record.prompt_tokens);
      ASSERT_LT(record.endpoint, settings.engines);
    }
    for (const RouterResult& router : result.routers) ASSERT_EQ(router.inflight_left, 0U);
    ASSERT_TRUE(settings.routers > 1 || result.routers[0].others_most == 0);
    expect_same(run_world(prepared, profile, settings), result);
  }
}

}  // namespace
}  // namespace fairlead::world
