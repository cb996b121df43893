// SPDX-License-Identifier: Apache-2.0
#include "core/picker/picker.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "core/picker/testing/picker_fixture.h"

namespace fairlead::picker {
namespace {

using testing::PickerTest;
using testing::Recorder;

using model::Outcome;
using model::ReplyReason;
using model::UpstreamFailure;
using scheduling::testing::make;

TEST_F(PickerTest, ABurstSpreadsBecauseAccountingStartsAtTheDecision) {
  std::vector<RequestId> ids;
  std::map<std::uint32_t, int> per_slot;
  for (int i = 0; i < 8; ++i) {
    ids.push_back(start());
    ++per_slot[outbox[0].endpoint.slot];
  }
  for (const auto& [slot, count] : per_slot) EXPECT_EQ(count, 2) << slot;
  EXPECT_EQ(per_slot.size(), 4U);
  for (const RequestId id : ids) picker.on_end(id, Outcome::kCompleted, now);
}

TEST_F(PickerTest, ContextAndPlacedTokensAreCountedForPoliciesThatReadThem) {
  const RequestId unread = start();
  profile.reads = {scheduling::Column::kInFlightContext, scheduling::Column::kPlacedTokens};
  history.record(0, std::span(keys).first(3));
  picker.on_first_token(unread, std::nullopt);
  const RequestId id = start();
  picker.on_first_token(id, std::nullopt);
  EXPECT_EQ(inflight.total().context_tokens, 1024) << "of one, cached or not, to its end";
  EXPECT_EQ(ledger.placed(outbox[0].endpoint.slot), 256U) << "what it did not hold";
  for (const RequestId each : {unread, id}) picker.on_end(each, Outcome::kCompleted, now);
  for (std::uint32_t slot = 1; slot < 4; ++slot) EXPECT_EQ(ledger.placed(slot), 0U);
}

TEST_F(PickerTest, FirstTokenReleasesPrefillWorkButNotTheRequest) {
  const RequestId id = start();
  const std::uint32_t slot = outbox[0].endpoint.slot;
  EXPECT_EQ(inflight.read(slot).uncached_tokens, 1024);
  picker.on_first_token(id, std::nullopt);
  EXPECT_EQ(inflight.read(slot).uncached_tokens, 0);
  EXPECT_EQ(inflight.read(slot).unstarted, 0);
  EXPECT_EQ(inflight.read(slot).requests, 1);
  picker.on_end(id, Outcome::kCompleted, now);
  ASSERT_EQ(sink.seen.size(), 1U);
  EXPECT_EQ(sink.seen[0].kind, model::Observation::Kind::kSuccess);
}

TEST_F(PickerTest, AFallBackOfTheProxyTakesOverShareAndHistoryAndTheFirstChoiceIsBlamed) {
  profile.picker =
      make(scheduling::builtin_registry().picker("max-score-picker"), "maxNumOfEndpoints: 3");
  const RequestId id = start();
  const Decision decision = picker.decision(id);
  ASSERT_EQ(decision.fallback_count, 2U);
  const model::EndpointRef first = decision.endpoint;
  const model::EndpointRef served = decision.fallbacks[1];
  picker.on_dispatched(id, request, now);
  picker.on_served(id, served, request, now);
  EXPECT_EQ(picker.decision(id).endpoint, served);
  EXPECT_EQ(inflight.read(first.slot).requests, 0);
  EXPECT_EQ(inflight.read(served.slot).requests, 1);
  EXPECT_EQ(inflight.read(served.slot).uncached_tokens, 1024);
  EXPECT_EQ(history.held_blocks(served.slot), 4U);
  ASSERT_EQ(sink.seen.size(), 2U);
  EXPECT_EQ(sink.seen[0].endpoint, first);
  EXPECT_EQ(sink.seen[1].endpoint, decision.fallbacks[0]);
  picker.on_served(id, served, request, now);
  EXPECT_EQ(sink.seen.size(), 2U) << "told twice, done once";
  // The two that failed are avoided for a moment.
  const RequestId next = start();
  EXPECT_NE(outbox[0].endpoint, first);
  EXPECT_NE(outbox[0].endpoint, decision.fallbacks[0]);
  picker.on_end(next, Outcome::kCompleted, now);
  picker.on_first_token(id, std::nullopt);
  EXPECT_EQ(inflight.read(served.slot).uncached_tokens, 0);
  picker.on_end(id, Outcome::kCompleted, now);
  EXPECT_EQ(sink.seen.back().endpoint, served);
}

TEST_F(PickerTest, ASubsetIsNeverLeft) {
  const std::uint32_t allowed[] = {1, 3};
  request.only_slots = allowed;
  std::vector<RequestId> ids;
  for (int i = 0; i < 8; ++i) {
    ids.push_back(start());
    EXPECT_TRUE(outbox[0].endpoint.slot == 1 || outbox[0].endpoint.slot == 3);
  }
  for (const RequestId id : ids) picker.on_end(id, Outcome::kCompleted, now);
  request.holder = model::EndpointRef{2, 1};
  const RequestId held = start();
  EXPECT_NE(outbox[0].endpoint.slot, 2U) << "not even for a holder";
  picker.on_end(held, Outcome::kCompleted, now);
  request.only_slots = std::span<const std::uint32_t>();
  const RequestId none = start(Action::Kind::kReply);
  EXPECT_EQ(outbox[0].reason, ReplyReason::kNoEndpoint);
  picker.on_end(none, Outcome::kRejected, now);
}

class Expectations final : public ExpectedBlocks {
 public:
  void expect(model::EndpointRef endpoint, std::span<const std::uint64_t> keys, Time now) override {
    seen.push_back({endpoint, {keys.begin(), keys.end()}, now});
  }
  struct Expected {
    model::EndpointRef endpoint;
    std::vector<std::uint64_t> keys;
    Time now;
  };
  std::vector<Expected> seen;
};

TEST_F(PickerTest, WhatIsDispatchedIsExpectedThere) {
  Expectations expectations;
  Picker telling(
      {{inflight, load, ledger, history}, recorder, sink, nullptr, nullptr, &expectations},
      Limits{}, 7);
  outbox.clear();
  const RequestId plain = telling.on_request(request, pool, profile, now, outbox);
  telling.on_dispatched(plain, request, now);
  EXPECT_TRUE(expectations.seen.empty()) << "it was not tokenized";
  const std::vector<std::uint64_t> token_keys = {1, 2};
  request.token_keys = token_keys;
  const RequestId id = telling.on_request(request, pool, profile, now, outbox);
  telling.on_dispatched(id, request, now);
  ASSERT_EQ(expectations.seen.size(), 1U);
  EXPECT_EQ(expectations.seen[0].endpoint, outbox[1].endpoint);
  EXPECT_EQ(expectations.seen[0].keys, token_keys);
  EXPECT_EQ(expectations.seen[0].now, now);
  for (const RequestId ended : {plain, id}) telling.on_end(ended, Outcome::kCompleted, now);
}

TEST_F(PickerTest, HistoryIsWrittenAfterDispatchAndBringsTheNextTurnBack) {
  const RequestId first = start();
  const std::uint32_t slot = outbox[0].endpoint.slot;
  EXPECT_EQ(history.held_blocks(slot), 0U);
  picker.on_dispatched(first, request, now);
  EXPECT_EQ(history.held_blocks(slot), 4U);
  picker.on_first_token(first, std::nullopt);
  const RequestId second = start();
  EXPECT_EQ(outbox[0].endpoint.slot, slot);
  // The last token of a prompt is always computed.
  EXPECT_EQ(picker.decision(second).cached_tokens, 1023U);
  EXPECT_EQ(picker.decision(second).reason, scheduling::Reason::kPrefix);
  picker.on_end(first, Outcome::kCompleted, now);
  picker.on_end(second, Outcome::kCompleted, now);
}

TEST_F(PickerTest, AFailedTryGoesElsewhereAndNeverBackWithinTheRequest) {
  const RequestId id = start();
  std::vector<std::uint32_t> tried = {outbox[0].endpoint.slot};
  for (int i = 0; i < 2; ++i) {
    const Action& next = fail(id, UpstreamFailure::kConnectRefused);
    ASSERT_EQ(next.kind, Action::Kind::kForward);
    for (const std::uint32_t slot : tried) EXPECT_NE(next.endpoint.slot, slot);
    tried.push_back(next.endpoint.slot);
  }
  const Action& last = fail(id, UpstreamFailure::kConnectRefused);
  EXPECT_EQ(last.kind, Action::Kind::kReply);
  EXPECT_EQ(last.reason, ReplyReason::kUpstreamFailed);
  EXPECT_EQ(picker.decision(id).attempts, 3U);
  EXPECT_EQ(sink.seen.size(), 3U);
  picker.on_end(id, Outcome::kUpstreamFailed, now);
}

TEST_F(PickerTest, AFailureMasksTheEndpointForThisWorkerUntilItsDeadline) {
  const RequestId id = start();
  const std::uint32_t bad = outbox[0].endpoint.slot;
  fail(id, UpstreamFailure::kResetBeforeResponse);
  picker.on_end(id, Outcome::kCompleted, now);
  for (int i = 0; i < 8; ++i) {
    const RequestId next = start();
    EXPECT_NE(outbox[0].endpoint.slot, bad);
    picker.on_end(next, Outcome::kCompleted, now);
  }
  now += std::chrono::milliseconds(1001);
  bool seen = false;
  for (int i = 0; i < 64 && !seen; ++i) {
    const RequestId next = start();
    seen = outbox[0].endpoint.slot == bad;
    picker.on_end(next, Outcome::kCompleted, now);
  }
  EXPECT_TRUE(seen);
}

TEST_F(PickerTest, ARequestGoesToTheHolderOfItsStateWhereThatTakesTraffic) {
  const auto goes_to = [&](model::EndpointRef holder) {
    request.holder = holder;
    const RequestId id = start();
    const Decision decision = picker.decision(id);
    picker.on_end(id, Outcome::kCompleted, now);
    return decision;
  };
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(goes_to({2, 0}).endpoint.slot, 2U);
    EXPECT_EQ(goes_to({2, 0}).reason, scheduling::Reason::kHolder);
  }
  EXPECT_NE(goes_to({2, 1}).reason, scheduling::Reason::kHolder) << "another one had the slot";
  EXPECT_NE(goes_to({9, 0}).reason, scheduling::Reason::kHolder);
  pool.endpoints[2].health = model::Health::kEjected;
  EXPECT_NE(goes_to({2, 0}).endpoint.slot, 2U);
  pool.endpoints[2].health = model::Health::kReturning;
  pool.endpoints[2].admit_share = 0.001;
  EXPECT_EQ(goes_to({2, 0}).endpoint.slot, 2U) << "nobody else can serve it";
  pool.endpoints[2].models = {"other"};
  EXPECT_NE(goes_to({2, 0}).endpoint.slot, 2U);
}

TEST_F(PickerTest, AHolderThatFailedARequestIsNotAskedAgainByItButByTheNext) {
  request.holder = model::EndpointRef{1, 0};
  const RequestId id = start();
  EXPECT_EQ(outbox[0].endpoint.slot, 1U);
  const Action& next = fail(id, UpstreamFailure::kConnectRefused);
  ASSERT_EQ(next.kind, Action::Kind::kForward);
  EXPECT_NE(next.endpoint.slot, 1U);
  EXPECT_NE(picker.decision(id).reason, scheduling::Reason::kHolder);
  const RequestId later = start();
  EXPECT_EQ(outbox[0].endpoint.slot, 1U) << "in spite of the mask";
  picker.on_end(id, Outcome::kCompleted, now);
  picker.on_end(later, Outcome::kCompleted, now);
}

TEST_F(PickerTest, AStaleConnectionIsNotHeldAgainstTheEndpoint) {
  const RequestId id = start();
  EXPECT_EQ(fail(id, UpstreamFailure::kStaleConnection).kind, Action::Kind::kForward);
  EXPECT_TRUE(sink.seen.empty());
  picker.on_end(id, Outcome::kCompleted, now);
}

TEST_F(PickerTest, NothingIsRetriedOnceTheClientSawAByteOrTheBudgetIsSpent) {
  RequestId id = start();
  EXPECT_EQ(fail(id, UpstreamFailure::kResetMidBody, Replay::kImpossible).kind,
            Action::Kind::kReply);
  picker.on_end(id, Outcome::kUpstreamFailed, now);
  std::uint64_t refused = 0;
  for (int i = 0; i < 400; ++i) {
    id = start();
    const Action& next = fail(id, UpstreamFailure::kConnectRefused);
    refused += next.kind == Action::Kind::kReply ? 1 : 0;
    picker.on_end(id, Outcome::kUpstreamFailed, now);
  }
  // 110 in the bank and 0.2 for each of 401 requests.
  EXPECT_NEAR(static_cast<double>(picker.counters().retries), 110 + 400 * 0.2, 3);
  EXPECT_EQ(refused, picker.counters().retry_budget_exhausted);
}

TEST_F(PickerTest, ARetryThatFindsNobodyLeftCostsNoBudget) {
  pool.endpoints.resize(1);
  for (int i = 0; i < 200; ++i) {
    const RequestId id = start();
    EXPECT_EQ(fail(id, UpstreamFailure::kConnectRefused).reason, ReplyReason::kUpstreamFailed);
    picker.on_end(id, Outcome::kUpstreamFailed, now);
  }
  EXPECT_EQ(picker.counters().retries, 0U);
  EXPECT_EQ(picker.counters().retry_budget_exhausted, 0U);
}

TEST_F(PickerTest, UnknownModelAndEmptyPoolAreTypedReplies) {
  request.model = "other";
  RequestId id = start(Action::Kind::kReply);
  EXPECT_EQ(outbox[0].reason, ReplyReason::kUnknownModel);
  picker.on_end(id, Outcome::kRejected, now);

  request.model = "m";
  for (auto& endpoint : pool.endpoints) endpoint.health = model::Health::kEjected;
  id = start(Action::Kind::kReply);
  EXPECT_EQ(outbox[0].reason, ReplyReason::kNoEndpoint);
  EXPECT_GT(outbox[0].retry_after, Duration{});
  picker.on_end(id, Outcome::kRejected, now);
}

TEST_F(PickerTest, OnlyEndpointsThatServeTheModelAreCandidates) {
  pool.endpoints[2].models = {"m", "adapter"};
  request.model = "adapter";
  for (int i = 0; i < 5; ++i) {
    const RequestId id = start();
    EXPECT_EQ(outbox[0].endpoint.slot, 2U);
    picker.on_end(id, Outcome::kCompleted, now);
  }
}

TEST_F(PickerTest, AReturningEndpointGetsItsShareOnly) {
  pool.endpoints[0].health = model::Health::kReturning;
  pool.endpoints[0].admit_share = 0.2;
  profile.scorers.clear();
  profile.picker = make(scheduling::builtin_registry().picker("random-picker"));
  int returned = 0;
  for (int i = 0; i < 4000; ++i) {
    const RequestId id = start();
    returned += outbox[0].endpoint.slot == 0 ? 1 : 0;
    picker.on_end(id, Outcome::kCompleted, now);
  }
  // A candidate in a fifth of the decisions, chosen in a quarter of those.
  EXPECT_NEAR(returned, 4000 * 0.2 / 4, 50);
}

TEST_F(PickerTest, FallbacksAreNamedInOrderAndBelongToTheLastDecision) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  profile.picker = make(registry.picker("max-score-picker"), "maxNumOfEndpoints: 3");
  for (std::uint32_t slot = 0; slot < 4; ++slot) history.record(slot, std::span(keys).first(slot));
  const RequestId id = start();
  EXPECT_EQ(outbox[0].endpoint.slot, 3U);
  const auto slots = [&] {
    const Decision& decision = picker.decision(id);
    std::vector<std::uint32_t> named;
    for (const auto& ref : std::span(decision.fallbacks).first(decision.fallback_count)) {
      named.push_back(ref.slot);
    }
    return named;
  };
  EXPECT_EQ(slots(), (std::vector<std::uint32_t>{2, 1}));
  EXPECT_EQ(inflight.total().requests, 1) << "only the first is counted";
  EXPECT_EQ(fail(id, UpstreamFailure::kConnectRefused).endpoint.slot, 2U);
  EXPECT_EQ(slots(), (std::vector<std::uint32_t>{1, 0})) << "without the one that failed";
  picker.on_end(id, Outcome::kCompleted, now);
}

TEST_F(PickerTest, AnAdmitterShedsRequestsOfNegativePriorityOnceAndBeforeTheFilters) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  profile.admitters.push_back({"detector", make(registry.admitter("utilization-detector"))});
  profile.reads = registry.admitter("utilization-detector")->reads;
  profile.filters.push_back({"nobody", make(registry.filter("encode-filter"))});
  for (std::uint32_t slot = 0; slot < 4; ++slot) load.write(slot, {5, 0, 0, now});
  const auto reason_at = [&](std::int32_t priority) {
    request.priority = priority;
    const RequestId id = start(Action::Kind::kReply);
    picker.on_end(id, Outcome::kRejected, now);
    return outbox[0].reason;
  };
  EXPECT_EQ(reason_at(-1), ReplyReason::kSaturated);
  EXPECT_GT(outbox[0].retry_after, Duration{});
  EXPECT_EQ(model::http_status(ReplyReason::kSaturated), 429);
  EXPECT_EQ(reason_at(0), ReplyReason::kFilteredOut);
  load.write(0, {4, 0, 0, now});
  EXPECT_EQ(reason_at(-1), ReplyReason::kFilteredOut) << "not saturated any more";
  profile.filters.clear();
  const RequestId id = start();
  load.write(0, {5, 0, 0, now});
  EXPECT_EQ(fail(id, UpstreamFailure::kConnectRefused).kind, Action::Kind::kForward)
      << "it was admitted already";
  picker.on_end(id, Outcome::kCompleted, now);
  for (model::Endpoint& endpoint : pool.endpoints) endpoint.health = model::Health::kEjected;
  EXPECT_EQ(reason_at(-1), ReplyReason::kNoEndpoint) << "nobody is there to be saturated";
}

TEST_F(PickerTest, MediaAreWrittenDownWhereTheyGoWhenThePolicyAsks) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  prefix::RoutedHistory sent{1, model::kMediaItemsKept};
  Recorder media_recorder{sent};
  Picker knowing(
      {{inflight, load, ledger, history, &sent}, recorder, sink, nullptr, &media_recorder}, {}, 3);
  const std::vector<model::MediaItem> media = {{501, 10}, {502, 30}};
  request.media = media;
  RequestId id = knowing.on_request(request, pool, profile, now, outbox);
  knowing.on_end(id, Outcome::kCompleted, now);
  EXPECT_EQ(sent.figures().held_blocks, 0U) << "nobody asks";
  profile = {};
  profile.scorers.push_back({"mm", make(registry.scorer("mm-embeddings-cache-scorer")), 1});
  profile.picker = make(registry.picker("max-score-picker"));
  profile.reads = scheduling::Columns{scheduling::Column::kMediaCached};
  id = knowing.on_request(request, pool, profile, now, outbox);
  const std::uint32_t slot = outbox.back().endpoint.slot;
  knowing.on_end(id, Outcome::kCompleted, now);
  EXPECT_EQ(sent.held_blocks(slot), 2U);
  for (int i = 0; i < 8; ++i) {
    id = knowing.on_request(request, pool, profile, now, outbox);
    EXPECT_EQ(outbox.back().endpoint.slot, slot);
    EXPECT_EQ(knowing.decision(id).total, 1.0F);
    knowing.on_end(id, Outcome::kCompleted, now);
  }
}

TEST_F(PickerTest, NewPrefixesArePlacedInTurn) {
  const scheduling::Registry registry = scheduling::builtin_registry();
  profile.scorers.clear();
  profile.scorers.push_back({"cold", make(registry.scorer("cold-placement-cost-scorer")), 1});
  profile.reads = {scheduling::Column::kReuse, scheduling::Column::kColdTokens};
  std::map<std::uint32_t, int> per_slot;
  for (std::uint64_t i = 0; i < 40; ++i) {
    keys.assign({i * 100 + 1, i * 100 + 2, i * 100 + 3, i * 100 + 4});
    request.keys = keys;
    const RequestId id = start();
    ++per_slot[outbox[0].endpoint.slot];
    picker.on_dispatched(id, request, now);
    picker.on_end(id, Outcome::kCompleted, now);
  }
  for (const auto& [slot, count] : per_slot) EXPECT_EQ(count, 10) << slot;
}

TEST_F(PickerTest, OnlyTheFirstTokensOfStreamsTellHowFastAnEndpointIs) {
  fleet::SpeedTable speeds;
  Ports measured{{inflight, load, ledger, history}, recorder, sink};
  measured.shared.speeds = &speeds;
  Picker timed(measured, {}, 1);
  // Long on the first endpoint that is asked, and at once elsewhere: as a stream, as one piece, and
  // as an error.
  const auto ask = [&](model::Streaming streaming, bool generated) {
    request.streaming = streaming;
    for (int i = 0; i < 400; ++i) {
      outbox.clear();
      const RequestId id = timed.on_request(request, pool, profile, now, outbox);
      const std::uint32_t slot = outbox[0].endpoint.slot;
      timed.on_dispatched(id, request, now);
      const Time at = now + std::chrono::milliseconds(slot == 0 ? 800 : 100);
      timed.on_first_token(id, generated ? std::optional(at) : std::nullopt);
      timed.on_end(id, Outcome::kCompleted, at);
      now += std::chrono::seconds(1);
    }
    return speeds.slowness(0, now);
  };
  profile.picker = make(scheduling::builtin_registry().picker("round-robin-picker"));
  EXPECT_EQ(ask(model::Streaming::kWhole, true), 1);
  EXPECT_EQ(ask(model::Streaming::kStreamed, false), 1);
  EXPECT_GT(ask(model::Streaming::kStreamed, true), 2);
}

TEST_F(PickerTest, ASecondTryAsksForNothingAnew) {
  fleet::SeenBlocks seen;
  Ports remembering{{inflight, load, ledger, history}, recorder, sink};
  remembering.shared.seen = &seen;
  Picker knowing(remembering, {}, 1);
  for (std::uint32_t slot = 0; slot < 4; ++slot) load.write(slot, {0, 0, 0, now, false, 100'000});
  profile.reads = scheduling::Columns{scheduling::Column::kShortage};
  const std::uint64_t first = keys.back();
  knowing.on_end(knowing.on_request(request, pool, profile, now, outbox), Outcome::kCompleted, now);
  const double before = *seen.age(first);
  keys.assign({1001, 1002, 1003, 1004});
  outbox.clear();
  const RequestId id = knowing.on_request(request, pool, profile, now, outbox);
  const double once = *seen.age(first) - before;
  EXPECT_GT(once, 0);
  outbox.clear();
  knowing.on_upstream_failed(id, UpstreamFailure::kConnectRefused, Replay::kPossible, request, pool,
                             profile, now, outbox);
  ASSERT_EQ(outbox[0].kind, Action::Kind::kForward);
  EXPECT_EQ(*seen.age(first) - before, once);
  knowing.on_end(id, Outcome::kCompleted, now);
}

// Any order of events leaves the accounting exact; the tear-down checks it.
TEST_F(PickerTest, RandomLifecyclesBalance) {
  Random random(99);
  std::vector<RequestId> live;
  for (int step = 0; step < 20000; ++step) {
    now += std::chrono::milliseconds(random.below(20));
    const std::uint64_t what = random.below(10);
    if (live.empty() || what < 4) {
      outbox.clear();
      const RequestId id = picker.on_request(request, pool, profile, now, outbox);
      if (outbox[0].kind == Action::Kind::kForward) {
        live.push_back(id);
      } else {
        picker.on_end(id, Outcome::kRejected, now);
      }
      continue;
    }
    const std::size_t at = random.below(live.size());
    const RequestId id = live[at];
    if (what == 4) picker.on_first_token(id, std::nullopt);
    if (what == 5) picker.on_dispatched(id, request, now);
    bool ended = what >= 7;
    if (what == 6) {
      const auto failure = static_cast<UpstreamFailure>(random.below(9));
      ended = fail(id, failure).kind == Action::Kind::kReply;
    }
    if (ended) {
      picker.on_end(id, static_cast<Outcome>(random.below(4)), now);
      live[at] = live.back();
      live.pop_back();
    }
  }
  for (const RequestId id : live) picker.on_end(id, Outcome::kClientGone, now);
}

// What a decision saw, copied where a real sink would keep it.
class Notes final : public DecisionSink {
 public:
  void note(const DecisionNote& note) override {
    ids.emplace_back(note.request.id);
    rows.push_back(note.table.size());
    excluded.assign(note.excluded.begin(), note.excluded.end());
    decision = note.decision;
    reply = note.reply;
    Random chance = note.chance;
    fleet::PlacementLedger ledger;
    scheduling::DecisionContext context{chance, ledger};
    if (rows.back() == 0) return;
    scheduling::Runner runner;
    again = runner.decide(note.profile, note.request, note.table, context, &told);
    again_endpoint = note.table.endpoint[again.row]->ref;
  }
  std::vector<std::string> ids;
  std::vector<std::size_t> rows;
  std::vector<Excluded> excluded;
  Decision decision;
  ReplyReason reply = ReplyReason::kNone;
  scheduling::Choice again;
  scheduling::Explanation told;
  model::EndpointRef again_endpoint;
};

TEST_F(PickerTest, ANotedDecisionIsMadeAgainTheSameWay) {
  Notes notes;
  Picker noting({{inflight, load, ledger, history}, recorder, sink, &notes}, {}, 7);
  pool.endpoints[1].health = model::Health::kEjected;
  pool.endpoints[2].models = {"other"};
  request.id = "r-1";
  std::vector<RequestId> ids;
  // The idle ones tie, so chance has to be the same too.
  for (int i = 0; i < 6; ++i) {
    ids.push_back(noting.on_request(request, pool, profile, now, outbox));
    EXPECT_EQ(notes.again_endpoint, outbox.back().endpoint);
    EXPECT_EQ(notes.again.total, notes.decision.total);
    EXPECT_EQ(notes.again.reason, notes.decision.reason);
  }
  EXPECT_EQ(notes.ids, std::vector<std::string>(6, "r-1"));
  EXPECT_EQ(notes.rows.back(), 2U);
  ASSERT_EQ(notes.excluded.size(), 2U);
  EXPECT_EQ(notes.excluded[0].endpoint, pool.endpoints[1].ref);
  EXPECT_EQ(notes.excluded[0].why, Exclusion::kTakesNoTraffic);
  EXPECT_EQ(notes.excluded[1].why, Exclusion::kOtherModel);
  for (const RequestId id : ids) noting.on_end(id, Outcome::kCompleted, now);
}

TEST_F(PickerTest, ADecisionForNobodyIsNotedWithItsReason) {
  Notes notes;
  Picker noting({{inflight, load, ledger, history}, recorder, sink, &notes}, {}, 7);
  for (model::Endpoint& endpoint : pool.endpoints) endpoint.health = model::Health::kEjected;
  const RequestId id = noting.on_request(request, pool, profile, now, outbox);
  EXPECT_EQ(notes.reply, ReplyReason::kNoEndpoint);
  EXPECT_EQ(notes.rows, std::vector<std::size_t>{0});
  EXPECT_EQ(notes.excluded.size(), 4U);
  noting.on_end(id, Outcome::kRejected, now);
}

TEST_F(PickerTest, AnEndpointNeverAskedIsBetterThanNone) {
  for (model::Endpoint& endpoint : pool.endpoints) {
    endpoint.health = model::Health::kEjected;
    endpoint.asked = true;
  }
  pool.endpoints[2].health = pool.endpoints[3].health = model::Health::kUnknown;
  pool.endpoints[2].asked = false;  // The other was asked in vain.
  const RequestId id = start();
  EXPECT_EQ(outbox[0].endpoint.slot, 2U);
  picker.on_end(id, Outcome::kCompleted, now);
  pool.endpoints[1].health = model::Health::kHealthy;
  const RequestId other = start();
  EXPECT_EQ(outbox[0].endpoint.slot, 1U) << "no more than that";
  picker.on_end(other, Outcome::kCompleted, now);
}

TEST_F(PickerTest, AnEndpointThatStoppedTellingItsLoadCountsAsTheFullestThatDoes) {
  load.write(0, {2, 9, 0.5F, now});
  load.write(1, {6, 3, 0.25F, now});
  load.write(2, {1, 4, 0.75F, now});
  load.mark_stale(2);
  CandidateBuilder builder({inflight, load, ledger, history});
  Random random(1);
  const scheduling::Candidates& table = builder.build(request, pool, {}, {}, now, random);
  EXPECT_EQ(table.waiting[2], 6.0F);
  EXPECT_EQ(table.running[2], 9.0F);
  EXPECT_EQ(table.kv_usage[2], 0.75F) << "it was fuller already";
  EXPECT_EQ(table.waiting[0], 2.0F);
  EXPECT_EQ(table.waiting[3], 0.0F) << "never scraped";
  for (std::uint32_t slot = 0; slot < 2; ++slot) load.mark_stale(slot);
  builder.build(request, pool, {}, {}, now, random);
  EXPECT_EQ(table.waiting[1], 6.0F) << "where nobody tells, what each said last";
  EXPECT_EQ(table.waiting[2], 1.0F);
}

}  // namespace
}  // namespace fairlead::picker
