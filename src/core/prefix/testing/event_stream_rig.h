// SPDX-License-Identifier: Apache-2.0
// For tests of EventStream: a publisher as vLLM's, an index that takes its batches, and a rig that
// brings one to the other as a test says. Header only; thread-compatible.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/random.h"
#include "core/prefix/event_stream.h"

namespace fairlead::prefix::testing {

using Blocks = std::set<int>;

// A publisher as vLLM's: batches numbered from 0, the last ones kept for replays. Its payloads name
// the batch and what becomes of the blocks.
class FakePublisher {
 public:
  explicit FakePublisher(std::size_t ring) : ring_(ring) {}

  std::uint64_t publish(Random& random) {
    std::string payload = std::to_string(++made_) + " ";
    const std::uint64_t what = random.below(40);
    if (what == 0) {
      blocks_.clear();
      payload += "clear";
    } else {
      const int block = static_cast<int>(random.below(30));
      const bool removes = what < 15;
      removes ? (void)blocks_.erase(block) : (void)blocks_.insert(block);
      payload += (removes ? '-' : '+') + std::to_string(block);
    }
    const std::uint64_t sequence = next_++;
    kept_[sequence] = payload;
    if (kept_.size() > ring_) kept_.erase(kept_.begin());
    after_[payload] = blocks_;
    return sequence;
  }
  void restart() {
    next_ = 0;
    kept_.clear();
    blocks_.clear();
  }

  std::string payload(std::uint64_t sequence) const { return kept_.at(sequence); }
  const std::map<std::uint64_t, std::string>& kept() const { return kept_; }
  const Blocks& blocks() const { return blocks_; }
  std::uint64_t next() const { return next_; }
  // What the engine held when it had made this batch.
  const Blocks& after(const std::string& payload) const { return after_.at(payload); }

 private:
  std::size_t ring_;
  int made_ = 0;
  std::uint64_t next_ = 0;
  Blocks blocks_;
  std::map<std::uint64_t, std::string> kept_;
  std::map<std::string, Blocks> after_;
};

class FakeIndex final : public EventStreamSink {
 public:
  BatchEffect apply(std::uint64_t, std::string_view payload) override {
    last_ = payload;
    const std::string_view what = payload.substr(payload.find(' ') + 1);
    if (what == "bad") return BatchEffect::kMalformed;
    if (what == "much") return BatchEffect::kPartial;
    if (what == "clear") {
      blocks_.clear();
      return BatchEffect::kEmptied;
    }
    int block = 0;
    std::from_chars(what.data() + 1, what.data() + what.size(), block);
    what[0] == '-' ? (void)blocks_.erase(block) : (void)blocks_.insert(block);
    return BatchEffect::kApplied;
  }
  void forget() override {
    blocks_.clear();
    ++forgotten_;
  }
  const Blocks& blocks() const { return blocks_; }
  const std::string& last() const { return last_; }
  int forgotten() const { return forgotten_; }

 private:
  Blocks blocks_;
  std::string last_;
  int forgotten_ = 0;
};

inline constexpr EventStreamOptions kWithReplay{.has_replay = true};

struct StreamRig {
  FakePublisher publisher;
  FakeIndex index;
  EventStream stream;
  Random random{5};
  Time now{};

  explicit StreamRig(const EventStreamOptions& options = {}, std::size_t ring = 1000)
      : publisher(ring), stream(index, options) {
    stream.on_connected(now);
  }
  // Publishes `count` batches, of which none arrives.
  void lose(int count) {
    for (int i = 0; i < count; ++i) publisher.publish(random);
  }
  void send(int count = 1) {
    for (int i = 0; i < count; ++i) deliver(publisher.publish(random));
  }
  void deliver(std::uint64_t sequence) {
    stream.on_batch(sequence, publisher.payload(sequence), now);
  }
  // Answers the replay that is wanted, whole. Whether one was.
  bool replay() {
    const auto from = stream.wanted_replay(now);
    if (!from) return false;
    stream.on_replay_asked(now);
    for (const auto& [sequence, payload] : publisher.kept()) {
      if (sequence >= *from) stream.on_replay_batch(sequence, payload, now);
    }
    stream.on_replay_end(now);
    return true;
  }
  void heal() {
    for (int i = 0; i < 20 && stream.deadline(); ++i) {
      now = std::max(now, *stream.deadline());
      stream.on_time(now);
      replay();
    }
  }
  void expect(StreamState state, Trust trust) const {
    EXPECT_EQ(to_string(stream.state()), to_string(state));
    EXPECT_EQ(to_string(stream.trust()), to_string(trust));
  }
  void expect_equal() const { EXPECT_EQ(index.blocks(), publisher.blocks()); }
};

}  // namespace fairlead::prefix::testing
