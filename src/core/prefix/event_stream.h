// SPDX-License-Identifier: Apache-2.0
// EventStream: puts the batches of one publisher (an endpoint's data-parallel rank) in order, and
// says how far what they told can be believed. It knows no socket: its owner tells it of batches,
// replies of the replay socket, connections and time, and asks it what to do next.
//
// A publisher numbers its batches from 0 and starts again when it restarts; nothing else on the
// wire names it. So a restart is told by what cannot come from the publisher known so far:
//   - a number that came before, with another batch (batches carry their time of making);
//   - a number that falls behind the last one that came live, and is 0 or older than all that is
//     remembered (live batches may trail behind a replay, which is no restart);
//   - two numbers in a row that had been passed over;
//   - a replay whose first batch, asked for as a witness, is not the last one applied;
//   - a live number more than kGapMax ahead, which nobody comes to while a connection stands.
// After a reconnection the witness is asked for even if no number is missing; without a replay
// socket all is forgotten then, because a restart in between could not be told.
//
// A subscription takes effect a while after the connection stands, and a replay may be answered in
// between: what is published then reaches nobody, and no later number tells of it while the engine
// is idle. So a connection over which nothing came live is confirmed by another replay, which is
// the witness alone as a rule; what was trusted stays so meanwhile. One that fails is tried again,
// after twice the time.
//
// A gap is closed by late batches or by a replay. Live batches are held meanwhile, within a bound.
// What no replay covers makes the stream forget everything and go on: it then knows less than the
// engine holds, never more. Where the replay socket failed to answer, or a batch found no room,
// everything is asked for again after a while.
//
// Bounds: held batches and their bytes, replays without progress, replays in a row (who makes gaps
// or restarts by the message is asked kReplaysInARow times, then once each replay_backoff), replays
// of all streams together (ReplayLimit). Errors: none; all that goes wrong is counted. Threads: one
// owner. Source: vllm/distributed/kv_events.py (numbering, ring, replay).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "core/prefix/prefix_knowledge.h"

namespace fairlead::prefix {

enum class StreamState : std::uint8_t {
  kJoining,    // No batch was applied yet.
  kLive,       // In order, and complete since the publisher began or cleared its cache.
  kGap,        // Waiting to ask for a replay.
  kReplaying,  // Asked.
  kDegraded,   // In order, but blocks stored before some batch are not known.
};
std::string_view to_string(StreamState state);

std::string_view to_string(Trust trust);

enum class BatchEffect : std::uint8_t {
  kApplied,
  kEmptied,    // It cleared the cache: from here on nothing is missing.
  kPartial,    // There was no room for some of it: less is known than the engine holds.
  kMalformed,  // Nothing of it was applied.
};

// What the batches act on.
class EventStreamSink {
 public:
  virtual BatchEffect apply(std::uint64_t sequence, std::string_view payload) = 0;
  // All that was applied is void.
  virtual void forget() = 0;
  // Said by the stream's owner after all that it told the stream of: trust() may be another.
  virtual void on_settled() {}

 protected:
  ~EventStreamSink() = default;
};

struct EventStreamOptions {
  bool has_replay = false;
  std::size_t held_batches_max = 10'000;
  std::size_t held_bytes_max = std::size_t{64} << 20;
  Duration replay_silence_max = std::chrono::seconds(2);     // Between two replies that are of use.
  Duration replay_time_max = std::chrono::seconds(30);       // Of one; the next goes on from there.
  std::uint32_t replay_attempts_max = 3;                     // Without progress.
  Duration replay_backoff = std::chrono::milliseconds(100);  // Doubled with each attempt.
  // Since replays were given up, doubled each time that this happens again; since a batch found no
  // room.
  Duration resync_after = std::chrono::seconds(30);
  Duration disconnected_max = std::chrono::seconds(10);  // Then all is forgotten.
  Duration confirm_after = std::chrono::seconds(1);      // Since a connection that is silent.
};

struct EventStreamFigures {
  std::uint64_t applied = 0;   // Batches, replayed ones included.
  std::uint64_t replayed = 0;  // Batches applied from replays.
  std::uint64_t duplicates = 0;
  std::uint64_t late = 0;  // Came after they were given up.
  std::uint64_t gaps = 0;
  std::uint64_t lost = 0;  // Batches that were given up, of one gap at most kGapMax.
  std::uint64_t restarts = 0;
  std::uint64_t malformed = 0;
  std::uint64_t replays = 0;
  std::uint64_t replays_failed = 0;
  std::uint64_t held_dropped = 0;
  std::uint64_t forgotten = 0;  // Times that all was forgotten.
};

// What a router keeps over its own restart, beside the index that it belongs to.
struct SavedStream {
  std::uint64_t next = 0;     // The number expected next, at least 1.
  std::uint64_t witness = 0;  // Digest of the batch before.
  bool complete = false;
};

class EventStream {
 public:
  static constexpr std::uint64_t kGapMax = std::uint64_t{1} << 20;  // A hundred rings of vLLM's.

  // The sink outlives the stream.
  EventStream(EventStreamSink& sink, const EventStreamOptions& options)
      : sink_(sink), options_(options) {}

  // Goes on from what was saved; the sink holds the index that was saved with it. Before anything
  // else. Nothing is trusted until a replay has shown that the publisher is the same one. Without a
  // replay socket the numbers cannot be proved to continue: all is forgotten.
  void resume(const SavedStream& saved);
  // Nothing while the stream has no place in the numbering, or is about to ask for everything.
  std::optional<SavedStream> save() const;

  // Need not be told of: a batch proves a connection.
  void on_connected(Time now);
  void on_disconnected(Time now);
  // Numbers are less than 2^64 - 1, which ends a replay.
  void on_batch(std::uint64_t sequence, std::string_view payload, Time now);

  // The first number to ask for, when a replay should be asked for now.
  std::optional<std::uint64_t> wanted_replay(Time now) const;
  void on_replay_asked(Time now);
  // Whether a reply is awaited; once it is not, a replay under way is to be broken off.
  bool replaying() const { return state_ == StreamState::kReplaying; }
  void on_replay_batch(std::uint64_t sequence, std::string_view payload, Time now);
  void on_replay_end(Time now);
  void on_replay_failed(Time now);

  // When on_time() has something to do, or wanted_replay() something to say.
  std::optional<Time> deadline() const;
  void on_time(Time now);

  StreamState state() const { return state_; }
  Trust trust() const;
  std::uint64_t next_sequence() const { return next_; }
  std::size_t held_batches() const { return held_.size(); }
  const EventStreamFigures& figures() const { return figures_; }

 private:
  static constexpr std::size_t kRemembered = 64;
  static constexpr int kReplaysInARow = 8;
  struct Batch {
    std::uint64_t sequence;
    std::string payload;
  };
  struct Mark {
    std::uint64_t sequence;
    std::uint64_t digest;
  };
  enum class Link : std::uint8_t { kUnknown, kUp, kDown };
  enum class Seen : std::uint8_t { kSame, kOther, kPassedOver, kBefore };

  Seen seen(std::uint64_t sequence, std::string_view payload) const;
  const Mark& last_mark() const { return marks_[(marked_ - 1) % kRemembered]; }
  void apply(std::uint64_t sequence, std::string_view payload, Time now);
  void start_at(std::uint64_t sequence);
  void count_lost(std::uint64_t until);
  void forget();
  void settle();
  void take_live(std::uint64_t sequence, std::string_view payload, Time now);
  void on_regressed(std::uint64_t sequence, std::string_view payload, Time now);
  void restart(std::uint64_t sequence, std::string_view payload, Time now);
  void start_over(Time now);
  void hold(std::uint64_t sequence, std::string_view payload, Time now);
  bool drain(Time now);
  void drop_held();
  void want_replay(Time now);
  void await_reply(Time now);
  Time asks_at() const;
  void ask_for_all(Time now);
  void confirm(Time now);
  void give_up(Time now);

  EventStreamSink& sink_;
  EventStreamOptions options_;
  StreamState state_ = StreamState::kJoining;
  bool placed_ = false;    // next_ means something.
  bool complete_ = false;  // Nothing that the publisher holds is missing.
  bool unproved_ = false;  // Resumed, and the witness was not seen yet.
  Link link_ = Link::kUnknown;
  std::uint64_t next_ = 0;
  std::array<Mark, kRemembered> marks_{};  // Of the last batches applied, a ring.
  std::uint64_t marked_ = 0;
  std::optional<std::uint64_t> live_;         // The last number that came live, this connection.
  std::optional<std::uint64_t> passed_over_;  // The last late number.
  std::deque<Batch> held_;                    // Ascending numbers, at least next_.
  std::size_t held_bytes_ = 0;
  bool witness_awaited_ = false;
  bool confirming_ = false;  // The replay is to show that nothing is missing.
  bool progress_ = false;    // Of the replay under way.
  std::uint32_t attempts_ = 0;
  std::uint32_t given_up_ = 0;  // Times in a row.
  Time replay_at_{};            // In kJoining and kGap: the earliest time to ask.
  Time replays_paid_{};         // Each replay costs a replay_backoff of time.
  Time replay_silent_{};        // In kReplaying: when it is broken off, for silence or length.
  Time replay_over_{};          // When its time is over.
  std::optional<Time> forget_at_;
  std::optional<Time> resync_at_;
  std::optional<Time> confirm_at_;
  std::uint32_t confirms_failed_ = 0;  // In a row, of this connection.
  EventStreamFigures figures_;
};

// How many replays run at a time, over all streams of an owner: they stall the publishers.
class ReplayLimit {
 public:
  explicit ReplayLimit(std::size_t most) : left_(most) {}
  [[nodiscard]] bool take() { return left_ > 0 && left_-- > 0; }
  void give_back() { ++left_; }

 private:
  std::size_t left_;
};

}  // namespace fairlead::prefix
