// SPDX-License-Identifier: Apache-2.0
// EventStream under random losses, reorderings, restarts and broken replays, against what the
// engine held; and under one that restarts all the time.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/prefix/testing/event_stream_rig.h"

namespace fairlead::prefix {
namespace {

// Random losses, duplicates, reorderings, restarts, reconnections and broken replays. Whenever the
// stream is trusted, the index equals what the engine held after the last batch applied; at the end
// it equals the engine.
void run_random(std::uint64_t seed, bool with_replay, std::uint64_t ring) {
  testing::StreamRig rig({.has_replay = with_replay}, ring);
  Random& random = rig.random = Random(seed);
  std::vector<std::pair<std::uint64_t, std::string>> wire;  // Sent, not arrived.
  for (int step = 0; step < 400; ++step) {
    const std::uint64_t what = random.below(100);
    rig.now += std::chrono::milliseconds(random.below(50));
    rig.stream.on_time(rig.now);
    if (what < 60) {
      const std::uint64_t sequence = rig.publisher.publish(random);
      if (random.below(30) != 0) wire.emplace_back(sequence, rig.publisher.payload(sequence));
      if (random.below(30) == 0)
        wire.push_back(wire.empty() ? std::pair{sequence, rig.publisher.payload(sequence)}
                                    : wire.back());
      if (wire.size() > 1 && random.below(20) == 0) std::swap(wire.back(), wire[wire.size() - 2]);
    } else if (what < 90) {
      for (std::uint64_t left = random.below(4); left > 0 && !wire.empty(); --left) {
        rig.stream.on_batch(wire.front().first, wire.front().second, rig.now);
        wire.erase(wire.begin());
      }
    } else if (what < 96) {
      const auto from = rig.stream.wanted_replay(rig.now);
      if (!from) continue;
      rig.stream.on_replay_asked(rig.now);
      for (const auto& [sequence, payload] : rig.publisher.kept()) {
        if (sequence < *from) continue;
        if (random.below(60) == 0) break;
        rig.stream.on_replay_batch(sequence, payload, rig.now);
      }
      random.below(8) == 0 ? rig.stream.on_replay_failed(rig.now)
                           : rig.stream.on_replay_end(rig.now);
    } else if (what < 98) {
      // A connection is lost with what was on its way; maybe because the engine died.
      wire.clear();
      rig.stream.on_disconnected(rig.now);
      if (random.below(2) == 0) rig.publisher.restart();
      for (std::uint64_t left = random.below(5); left > 0; --left) rig.publisher.publish(random);
      rig.stream.on_connected(rig.now);
    }
    if (rig.stream.trust() == Trust::kTrusted && !rig.index.last().empty() &&
        rig.stream.next_sequence() > 0) {
      RC_ASSERT(rig.index.blocks() == rig.publisher.after(rig.index.last()));
    }
  }
  for (const auto& [sequence, payload] : wire) rig.stream.on_batch(sequence, payload, rig.now);
  rig.heal();
  rig.send(1);
  rig.heal();
  if (with_replay && ring > 400) {
    RC_ASSERT(rig.stream.trust() == Trust::kTrusted);
    RC_ASSERT(rig.index.blocks() == rig.publisher.blocks());
  }
  // What is not known is missing, never wrong.
  for (const int block : rig.index.blocks()) RC_ASSERT(rig.publisher.blocks().contains(block));
}

RC_GTEST_PROP(EventStreamProperty, WhatIsTrustedIsRight, (std::uint64_t seed)) {
  run_random(seed, true, 1000);
}
RC_GTEST_PROP(EventStreamProperty, AShortRingLosesButNeverLies, (std::uint64_t seed)) {
  run_random(seed, true, 6);
}
RC_GTEST_PROP(EventStreamProperty, WithoutAReplayItLosesButNeverLies, (std::uint64_t seed)) {
  run_random(seed, false, 1000);
}

TEST(EventStream, WhoRestartsWithEachBatchIsNotAskedEachTime) {
  testing::StreamRig rig(testing::kWithReplay);
  rig.send(5);
  const auto ask_if_wanted = [&rig] {
    if (rig.stream.wanted_replay(rig.now)) rig.stream.on_replay_asked(rig.now);
  };
  for (int i = 0; i < 1000; ++i) {
    rig.stream.on_batch(7, std::to_string(i) + " +1", rig.now);
    ask_if_wanted();
  }
  EXPECT_GT(rig.stream.figures().restarts, 900U);
  EXPECT_LE(rig.stream.figures().replays, 10U);
  rig.now += std::chrono::seconds(1);
  rig.stream.on_batch(7, "again +1", rig.now);
  ask_if_wanted();
  EXPECT_TRUE(rig.stream.replaying());
}

}  // namespace
}  // namespace fairlead::prefix
