// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/event_stream.h"

#include <gtest/gtest.h>

#include "core/prefix/testing/event_stream_rig.h"

namespace fairlead::prefix {
namespace {

using Rig = testing::StreamRig;
using testing::Blocks;
using testing::kWithReplay;

TEST(EventStream, FromTheFirstBatchOnEverythingIsKnown) {
  Rig rig;
  rig.expect(StreamState::kJoining, Trust::kAbsent);
  rig.send(50);
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
}

TEST(EventStream, WhoJoinsLateWithoutAReplayIsSuspectUntilTheCacheIsCleared) {
  Rig rig;
  rig.lose(3);
  rig.send(5);
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
  rig.stream.on_batch(rig.publisher.next(), "x clear", rig.now);
  rig.expect(StreamState::kLive, Trust::kTrusted);
}

TEST(EventStream, WhoJoinsLateAsksForAllThatIsKept) {
  Rig rig(kWithReplay);
  rig.lose(20);
  EXPECT_EQ(rig.stream.wanted_replay(rig.now), 0U);
  rig.stream.on_replay_asked(rig.now);
  rig.expect(StreamState::kReplaying, Trust::kSuspect);
  rig.send(3);  // Held meanwhile, and part of the replay.
  EXPECT_EQ(rig.stream.held_batches(), 3U);
  for (const auto& [sequence, payload] : rig.publisher.kept()) {
    rig.stream.on_replay_batch(sequence, payload, rig.now);
  }
  rig.stream.on_replay_end(rig.now);
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
  EXPECT_EQ(rig.stream.figures().duplicates, 3U);
}

TEST(EventStream, ARingThatIsTooShortLeavesTheStreamSuspect) {
  Rig rig(kWithReplay, 10);
  rig.lose(30);
  EXPECT_TRUE(rig.replay());
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
  EXPECT_EQ(rig.stream.figures().lost, 20U);
  EXPECT_EQ(rig.stream.next_sequence(), 30U);
}

TEST(EventStream, ASilentConnectionIsConfirmedOnce) {
  Rig rig(kWithReplay);
  rig.lose(20);
  EXPECT_TRUE(rig.replay());
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.lose(2);  // Sent before the subscription took effect.
  ASSERT_TRUE(rig.stream.deadline());
  EXPECT_FALSE(rig.stream.wanted_replay(rig.now));
  rig.now = *rig.stream.deadline();
  rig.stream.on_time(rig.now);
  EXPECT_EQ(rig.stream.wanted_replay(rig.now), 19U) << "the witness and what is missing";
  rig.expect(StreamState::kGap, Trust::kTrusted);
  EXPECT_TRUE(rig.replay());
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
  EXPECT_EQ(rig.index.forgotten(), 0);
  EXPECT_FALSE(rig.stream.deadline()) << "once";

  Rig restarted(kWithReplay);
  restarted.lose(5);
  EXPECT_TRUE(restarted.replay());
  restarted.publisher.restart();
  restarted.lose(1);
  restarted.heal();
  restarted.expect(StreamState::kLive, Trust::kTrusted);
  restarted.expect_equal();
  EXPECT_EQ(restarted.stream.figures().restarts, 1U);
}

TEST(EventStream, AConnectionOverWhichABatchCameNeedsNoConfirmation) {
  Rig rig(kWithReplay);
  rig.lose(3);
  EXPECT_TRUE(rig.replay());
  rig.send(1);
  EXPECT_FALSE(rig.stream.deadline());
  rig.stream.on_disconnected(rig.now);
  rig.stream.on_connected(rig.now);
  EXPECT_TRUE(rig.replay());
  EXPECT_TRUE(rig.stream.deadline()) << "another connection, another confirmation";
}

TEST(EventStream, AConfirmationThatFailsGivesNothingUp) {
  Rig rig(kWithReplay);
  rig.lose(5);
  EXPECT_TRUE(rig.replay());
  rig.now = *rig.stream.deadline();
  rig.stream.on_time(rig.now);
  rig.stream.on_replay_asked(rig.now);
  rig.send(1);  // Held meanwhile.
  rig.stream.on_replay_failed(rig.now);
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
  EXPECT_EQ(rig.index.forgotten(), 0);
  EXPECT_EQ(rig.stream.figures().replays_failed, 1U);
}

TEST(EventStream, AConfirmationThatFailsIsTriedAgainAfterTwiceTheTime) {
  Rig rig(kWithReplay);
  rig.lose(5);
  EXPECT_TRUE(rig.replay());
  rig.lose(2);  // Sent before the subscription took effect, by an engine that then stands still.
  Duration waited{};
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(rig.stream.deadline()) << i;
    EXPECT_GE(*rig.stream.deadline() - rig.now, 2 * waited) << i;
    waited = *rig.stream.deadline() - rig.now;
    rig.now = *rig.stream.deadline();
    rig.stream.on_time(rig.now);
    EXPECT_EQ(rig.stream.wanted_replay(rig.now), 4U) << i;
    rig.stream.on_replay_asked(rig.now);
    rig.stream.on_replay_failed(rig.now);
    rig.expect(StreamState::kLive, Trust::kTrusted);
  }
  ASSERT_TRUE(rig.stream.deadline());
  rig.now = *rig.stream.deadline();
  rig.stream.on_time(rig.now);
  EXPECT_TRUE(rig.replay());
  rig.expect_equal();
  EXPECT_EQ(rig.index.forgotten(), 0);
  EXPECT_FALSE(rig.stream.deadline());
}

// Of an engine that stands still from the connection on nothing is known, and nothing is missing.
TEST(EventStream, AFailedConfirmationOfAStreamThatNothingCameOverIsNotBelieved) {
  Rig rig(kWithReplay);
  rig.lose(7);
  for (int i = 0; i < 30 && rig.stream.deadline(); ++i) {
    rig.now = std::max(rig.now, *rig.stream.deadline());
    rig.stream.on_time(rig.now);
    if (rig.stream.wanted_replay(rig.now)) rig.stream.on_replay_asked(rig.now);
    EXPECT_NE(to_string(rig.stream.trust()), to_string(Trust::kTrusted)) << i;
  }
  rig.heal();
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
}

TEST(EventStream, AGapIsReplayedFromTheWitnessOn) {
  Rig rig(kWithReplay);
  rig.send(5);
  rig.lose(4);
  rig.send(2);
  rig.expect(StreamState::kGap, Trust::kSuspect);
  EXPECT_EQ(rig.stream.wanted_replay(rig.now), 4U);
  EXPECT_TRUE(rig.replay());
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
  EXPECT_EQ(rig.index.forgotten(), 0);
}

TEST(EventStream, AGapWithoutAReplayForgetsAndGoesOn) {
  Rig rig;
  rig.send(5);
  rig.lose(4);
  rig.send(1);
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
  EXPECT_EQ(rig.index.forgotten(), 1);
  EXPECT_EQ(rig.stream.figures().lost, 4U);
}

TEST(EventStream, LateBatchesCloseAGapThemselves) {
  Rig rig(kWithReplay);
  rig.send(5);
  rig.lose(2);
  rig.send(1);
  rig.deliver(6);
  rig.deliver(5);
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
  EXPECT_FALSE(rig.stream.wanted_replay(rig.now));
}

TEST(EventStream, LiveBatchesMayTrailFarBehindAReplay) {
  Rig rig(kWithReplay);
  rig.send(1);
  rig.lose(1);
  rig.deliver(rig.publisher.publish(rig.random));
  rig.lose(500);  // On their way still.
  for (std::uint64_t sequence = 3; sequence < 10; ++sequence) rig.deliver(sequence);
  EXPECT_TRUE(rig.replay());
  EXPECT_EQ(rig.stream.next_sequence(), 503U);
  for (std::uint64_t sequence = 10; sequence < 503; ++sequence) rig.deliver(sequence);
  rig.send(1);
  EXPECT_EQ(rig.stream.figures().restarts, 0U);
  EXPECT_EQ(rig.stream.figures().duplicates, 501U);
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
}

TEST(EventStream, DuplicatesAreDropped) {
  Rig rig;
  rig.send(10);
  for (const std::uint64_t sequence : {0U, 4U, 9U}) rig.deliver(sequence);
  EXPECT_EQ(rig.stream.figures().duplicates, 3U);
  EXPECT_EQ(rig.stream.figures().restarts, 0U);
  rig.expect_equal();
}

TEST(EventStream, ARestartIsToldFromItsFirstNumber) {
  for (const bool with_replay : {false, true}) {
    Rig rig({.has_replay = with_replay});
    rig.send(30);
    rig.publisher.restart();
    rig.send(3);
    EXPECT_EQ(rig.stream.figures().restarts, 1U);
    rig.expect(StreamState::kLive, Trust::kTrusted);
    rig.expect_equal();
  }
}

TEST(EventStream, ARestartIsToldFromAnotherBatchUnderAKnownNumber) {
  Rig rig;
  rig.send(30);
  rig.publisher.restart();
  rig.lose(7);
  rig.send(3);
  EXPECT_EQ(rig.stream.figures().restarts, 1U);
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
  Rig replayed(kWithReplay);
  replayed.send(30);
  replayed.publisher.restart();
  replayed.lose(7);
  replayed.send(3);
  EXPECT_EQ(replayed.stream.wanted_replay(replayed.now), 0U);
  EXPECT_TRUE(replayed.replay());
  replayed.expect(StreamState::kLive, Trust::kTrusted);
  replayed.expect_equal();
}

TEST(EventStream, ARestartThatLooksLikeAGapIsToldByTheWitness) {
  Rig rig(kWithReplay);
  rig.send(5);
  rig.publisher.restart();
  rig.lose(9);
  rig.send(1);  // Number 9, expected 5.
  rig.expect(StreamState::kGap, Trust::kSuspect);
  EXPECT_TRUE(rig.replay());  // Its first batch is not the one that was applied.
  EXPECT_EQ(rig.stream.figures().restarts, 1U);
  rig.heal();
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
}

TEST(EventStream, AfterAReconnectionTheWitnessIsAskedFor) {
  Rig rig(kWithReplay);
  rig.send(5);
  rig.stream.on_disconnected(rig.now);
  rig.expect(StreamState::kLive, Trust::kSuspect);
  rig.stream.on_connected(rig.now);
  EXPECT_EQ(rig.stream.wanted_replay(rig.now), 4U);
  EXPECT_TRUE(rig.replay());
  rig.expect(StreamState::kLive, Trust::kTrusted);
  EXPECT_EQ(rig.index.forgotten(), 0);

  // Another publisher that has made nothing yet, or exactly as much.
  for (const int made : {0, 5}) {
    rig.publisher.restart();
    rig.send(5);
    rig.stream.on_disconnected(rig.now);
    rig.publisher.restart();
    rig.lose(made);
    rig.stream.on_connected(rig.now);
    rig.heal();
    rig.expect(StreamState::kLive, Trust::kTrusted);
    rig.expect_equal();
  }
  EXPECT_EQ(rig.stream.figures().restarts, 3U);
}

TEST(EventStream, AfterAReconnectionWithoutAReplayNothingIsKnown) {
  Rig rig;
  rig.send(5);
  rig.stream.on_disconnected(rig.now);
  rig.stream.on_connected(rig.now);
  rig.expect(StreamState::kJoining, Trust::kAbsent);
  EXPECT_EQ(rig.index.forgotten(), 1);
  rig.send(1);
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
}

TEST(EventStream, WhoStaysAwayIsForgotten) {
  Rig rig(kWithReplay);
  EXPECT_TRUE(rig.replay());
  rig.send(5);
  rig.stream.on_disconnected(rig.now);
  rig.now += std::chrono::seconds(11);
  rig.stream.on_time(rig.now);
  rig.expect(StreamState::kJoining, Trust::kAbsent);
  EXPECT_TRUE(rig.index.blocks().empty());
  rig.stream.on_connected(rig.now);
  rig.heal();
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
}

TEST(EventStream, ReplaysThatBringNothingAreGivenUp) {
  Rig rig(kWithReplay);
  rig.send(5);
  rig.lose(1);
  rig.send(1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(rig.stream.deadline());
    rig.now = *rig.stream.deadline();
    EXPECT_TRUE(rig.stream.wanted_replay(rig.now));
    rig.stream.on_replay_asked(rig.now);
    rig.now = *rig.stream.deadline();  // Silence.
    rig.stream.on_time(rig.now);
  }
  EXPECT_EQ(rig.stream.figures().replays_failed, 3U);
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
  EXPECT_EQ(rig.stream.next_sequence(), 7U);
  EXPECT_FALSE(rig.stream.save()) << "who goes on from here would never ask for the rest";
  rig.heal();  // After a while it is tried again.
  rig.expect(StreamState::kLive, Trust::kTrusted);
  EXPECT_TRUE(rig.stream.save());
  rig.expect_equal();
}

// Replays are few at a time: an engine that never ends its own would keep all others from theirs.
TEST(EventStream, AReplayThatNeverEndsIsBrokenOff) {
  Rig useless(kWithReplay);
  useless.send(5);
  useless.lose(1);
  useless.send(1);
  useless.stream.on_replay_asked(useless.now);
  const Time begun = useless.now;
  while (useless.stream.replaying() && useless.now - begun < std::chrono::minutes(1)) {
    useless.now += std::chrono::seconds(1);
    useless.stream.on_replay_batch(3, useless.publisher.payload(3), useless.now);
    useless.stream.on_time(useless.now);
  }
  EXPECT_EQ(useless.now - begun, std::chrono::seconds(2)) << "what was known is no news";

  Rig slow(kWithReplay);
  slow.lose(100);
  slow.stream.on_replay_asked(slow.now);
  std::uint64_t sent = 0;
  while (slow.stream.replaying() && sent < 100) {
    slow.now += std::chrono::seconds(1);
    slow.stream.on_replay_batch(sent, slow.publisher.payload(sent), slow.now);
    slow.stream.on_time(slow.now);
    ++sent;
  }
  EXPECT_EQ(sent, 30U);
  slow.heal();  // It goes on from there, in its next turn.
  slow.expect(StreamState::kLive, Trust::kTrusted);
  slow.expect_equal();
  EXPECT_EQ(slow.index.forgotten(), 0);
}

TEST(EventStream, WhatIsHeldIsBounded) {
  EventStreamOptions options = kWithReplay;
  options.held_batches_max = 4;
  Rig rig(options);
  rig.send(5);
  rig.lose(1);
  rig.send(10);
  EXPECT_EQ(rig.stream.held_batches(), 4U);
  EXPECT_EQ(rig.stream.figures().held_dropped, 6U);
  EXPECT_TRUE(rig.replay());
  rig.expect_equal();
}

TEST(EventStream, TheBytesOfWhatIsHeldAreBounded) {
  Rig rig({.has_replay = true, .held_bytes_max = 100});
  rig.stream.on_batch(6, std::string(60, 'x'), rig.now);
  rig.stream.on_batch(7, std::string(60, 'y'), rig.now);
  EXPECT_EQ(rig.stream.held_batches(), 1U);
  EXPECT_EQ(rig.stream.figures().held_dropped, 1U);
}

TEST(EventStream, AReplaySocketThatNeverAnswersIsAskedLessAndLess) {
  Rig rig(kWithReplay);
  rig.send(5);
  rig.lose(1);
  rig.send(1);
  for (const auto pause : {30, 60, 120}) {
    for (int i = 0; i < 3; ++i) {
      rig.now = *rig.stream.deadline();
      rig.stream.on_time(rig.now);
      ASSERT_TRUE(rig.stream.wanted_replay(rig.now));
      rig.stream.on_replay_asked(rig.now);
      rig.now = *rig.stream.deadline();
      rig.stream.on_time(rig.now);
    }
    EXPECT_EQ(*rig.stream.deadline() - rig.now, std::chrono::seconds(pause));
  }
}

TEST(EventStream, WhatIsHeldInPiecesIsNotBelievedTogether) {
  Rig rig(kWithReplay);
  rig.stream.on_batch(6, "6 +60", rig.now);
  rig.stream.on_batch(8, "8 +80", rig.now);
  for (int i = 0; i < 3; ++i) {
    rig.now = *rig.stream.deadline();
    rig.stream.on_replay_asked(rig.now);
    rig.now = *rig.stream.deadline();
    rig.stream.on_time(rig.now);
  }
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
  EXPECT_EQ(rig.index.blocks(), Blocks{80});
}

TEST(EventStream, AMalformedBatchVoidsWhatWasKnown) {
  Rig rig;
  rig.send(5);
  rig.stream.on_batch(5, "x bad", rig.now);
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
  EXPECT_EQ(rig.stream.figures().malformed, 1U);
  EXPECT_EQ(rig.index.forgotten(), 1);
}

TEST(EventStream, ABatchThatFoundNoRoomMakesTheStreamSuspectUntilAllIsToldAgain) {
  Rig rig(kWithReplay);
  rig.send(5);
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.stream.on_batch(5, "x much", rig.now);
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
  rig.now += kWithReplay.resync_after - std::chrono::seconds(1);
  rig.stream.on_time(rig.now);
  EXPECT_FALSE(rig.stream.wanted_replay(rig.now));
  rig.heal();
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
}

TEST(EventStream, WithoutAReplayABatchThatFoundNoRoomIsHealedByClearing) {
  Rig rig;
  rig.send(5);
  rig.stream.on_batch(5, "x much", rig.now);
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
  EXPECT_FALSE(rig.stream.deadline());
  rig.stream.on_batch(6, "x clear", rig.now);
  rig.expect(StreamState::kLive, Trust::kTrusted);
}

TEST(EventStream, ANumberFarAheadIsARestartAndCountsNoLosses) {
  Rig rig;
  rig.send(5);
  rig.stream.on_batch(~std::uint64_t{1}, "x +1", rig.now);
  rig.expect(StreamState::kDegraded, Trust::kSuspect);
  EXPECT_EQ(rig.stream.figures().restarts, 1U);
  EXPECT_EQ(rig.stream.figures().lost, 0U);
  rig.send();
  EXPECT_EQ(rig.stream.figures().restarts, 2U);
  EXPECT_EQ(rig.stream.next_sequence(), 6U);
  rig.stream.on_batch(6, "x clear", rig.now);
  rig.expect(StreamState::kLive, Trust::kTrusted);
}

TEST(EventStream, ANumberFarAheadIsHealedByReplays) {
  Rig rig(kWithReplay);
  rig.send(5);
  rig.stream.on_batch(~std::uint64_t{1}, "x +1", rig.now);
  EXPECT_EQ(rig.stream.trust(), Trust::kSuspect);
  rig.heal();
  rig.send(3);
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
  EXPECT_LE(rig.stream.figures().lost, EventStream::kGapMax);
}

TEST(EventStream, WhatOneGapCountsAsLostIsBounded) {
  Rig rig(kWithReplay);
  rig.stream.on_replay_asked(rig.now);
  rig.stream.on_replay_batch(EventStream::kGapMax * 7, "x +1", rig.now);
  EXPECT_EQ(rig.stream.figures().lost, EventStream::kGapMax);
}

TEST(EventStream, AClockThatJumpsAheadBetweenTwoBatchesChangesNothing) {
  for (const EventStreamOptions& options : {EventStreamOptions{}, kWithReplay}) {
    Rig rig(options);
    rig.send(5);
    rig.now += std::chrono::hours(24 * 365);
    rig.stream.on_time(rig.now);
    rig.expect(StreamState::kLive, Trust::kTrusted);
    rig.send(5);
    rig.expect(StreamState::kLive, Trust::kTrusted);
    rig.expect_equal();
    EXPECT_EQ(rig.index.forgotten(), 0);
    EXPECT_FALSE(rig.stream.deadline());
  }
}

TEST(EventStream, AClockThatJumpsAheadInAReplayEndsItAndTheNextOneHeals) {
  Rig rig(kWithReplay);
  rig.send(5);
  rig.lose(2);
  rig.send();
  rig.stream.on_replay_asked(rig.now);
  rig.now += std::chrono::hours(24 * 365);
  rig.stream.on_time(rig.now);
  rig.expect(StreamState::kGap, Trust::kSuspect);
  EXPECT_EQ(rig.stream.figures().replays_failed, 1U);
  EXPECT_LE(*rig.stream.deadline() - rig.now, std::chrono::seconds(1)) << "waits begin anew";
  rig.heal();
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
  EXPECT_EQ(rig.stream.figures().lost, 0U);
  EXPECT_EQ(rig.index.forgotten(), 0);
}

TEST(EventStream, AClockThatJumpsAheadWithoutAConnectionForgetsAndTheNextOneHeals) {
  Rig rig(kWithReplay);
  rig.send(5);
  rig.stream.on_disconnected(rig.now);
  rig.now += std::chrono::hours(24 * 365);
  rig.stream.on_time(rig.now);
  rig.expect(StreamState::kJoining, Trust::kAbsent);
  EXPECT_TRUE(rig.index.blocks().empty());
  rig.stream.on_connected(rig.now);
  rig.heal();
  rig.expect(StreamState::kLive, Trust::kTrusted);
  rig.expect_equal();
}

TEST(EventStream, ASavedStreamGoesOnWhereThePublisherDoes) {
  Rig rig;
  rig.send(30);
  const auto saved = rig.stream.save();
  ASSERT_TRUE(saved);
  rig.lose(5);
  EventStream again(rig.index, kWithReplay);
  again.resume(*saved);
  EXPECT_EQ(to_string(again.trust()), to_string(Trust::kAbsent)) << "nothing is proved";
  EXPECT_EQ(again.wanted_replay(rig.now), 29U);
  again.on_connected(rig.now);
  again.on_replay_asked(rig.now);
  EXPECT_EQ(to_string(again.trust()), to_string(Trust::kAbsent));
  again.on_replay_batch(29, rig.publisher.payload(29), rig.now);
  EXPECT_EQ(to_string(again.trust()), to_string(Trust::kSuspect)) << "proved, but behind";
  for (std::uint64_t i = 30; i < 35; ++i) {
    again.on_replay_batch(i, rig.publisher.payload(i), rig.now);
  }
  again.on_replay_end(rig.now);
  EXPECT_EQ(to_string(again.trust()), to_string(Trust::kTrusted));
  rig.expect_equal();
  EXPECT_EQ(rig.index.forgotten(), 0);

  EventStream other(rig.index, kWithReplay);
  other.resume(*saved);
  rig.publisher.restart();
  rig.lose(40);
  other.on_replay_asked(rig.now);
  other.on_replay_batch(29, rig.publisher.payload(29), rig.now);
  EXPECT_EQ(rig.index.forgotten(), 1);
  EXPECT_EQ(other.wanted_replay(rig.now), 0U);

  EventStream without(rig.index, {});
  without.resume(*saved);
  EXPECT_EQ(to_string(without.trust()), to_string(Trust::kAbsent));
  EXPECT_EQ(rig.index.forgotten(), 2);
}

TEST(EventStream, ReplaysOfAllStreamsTogetherAreLimited) {
  ReplayLimit limit(2);
  EXPECT_TRUE(limit.take());
  EXPECT_TRUE(limit.take());
  EXPECT_FALSE(limit.take());
  limit.give_back();
  EXPECT_TRUE(limit.take());
}

}  // namespace
}  // namespace fairlead::prefix
