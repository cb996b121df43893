// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/event_stream.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/mutant.h"

namespace fairlead::prefix {
namespace {

// A batch begins with its time of making, so its front tells it from others of the same number.
constexpr std::size_t kDigestBytes = 64;
constexpr std::uint32_t kBackoffDoublings = 8;

std::uint64_t digest(std::string_view payload) {
  return XXH3_64bits_withSeed(payload.data(), std::min(payload.size(), kDigestBytes),
                              payload.size());
}

}  // namespace

std::string_view to_string(StreamState state) {
  switch (state) {
    case StreamState::kJoining:
      return "joining";
    case StreamState::kLive:
      return "live";
    case StreamState::kGap:
      return "gap";
    case StreamState::kReplaying:
      return "replaying";
    case StreamState::kDegraded:
      return "degraded";
  }
  return "unknown";
}

std::string_view to_string(Trust trust) {
  switch (trust) {
    case Trust::kAbsent:
      return "absent";
    case Trust::kSuspect:
      return "suspect";
    case Trust::kTrusted:
      return "trusted";
  }
  return "unknown";
}

Trust EventStream::trust() const {
  const bool proved = !unproved_ || planted(Mutant::kUnprovedTrust);
  if (!placed_ || !proved) return Trust::kAbsent;
  const bool is_whole = state_ == StreamState::kLive || (confirming_ && complete_);
  return is_whole && link_ != Link::kDown ? Trust::kTrusted : Trust::kSuspect;
}

void EventStream::resume(const SavedStream& saved) {
  if (!options_.has_replay || saved.next == 0) {
    forget();
    return;
  }
  placed_ = true;
  unproved_ = true;
  complete_ = saved.complete;
  next_ = saved.next;
  marks_[0] = {saved.next - 1, saved.witness};
  marked_ = 1;
}

std::optional<SavedStream> EventStream::save() const {
  if (resync_at_ || !placed_ || marked_ == 0 || last_mark().sequence + 1 != next_)
    return std::nullopt;
  return SavedStream{next_, last_mark().digest, complete_};
}

EventStream::Seen EventStream::seen(std::uint64_t sequence, std::string_view payload) const {
  const std::uint64_t first = marked_ > kRemembered ? marked_ - kRemembered : 0;
  if (marked_ == first || sequence < marks_[first % kRemembered].sequence) return Seen::kBefore;
  for (std::uint64_t i = first; i < marked_; ++i) {
    const Mark& mark = marks_[i % kRemembered];
    if (mark.sequence != sequence) continue;
    return mark.digest == digest(payload) ? Seen::kSame : Seen::kOther;
  }
  return Seen::kPassedOver;
}

void EventStream::apply(std::uint64_t sequence, std::string_view payload, Time now) {
  marks_[marked_++ % kRemembered] = {sequence, digest(payload)};
  next_ = sequence + 1;
  ++figures_.applied;
  switch (sink_.apply(sequence, payload)) {
    case BatchEffect::kApplied:
      return;
    case BatchEffect::kEmptied:
      complete_ = true;
      return;
    case BatchEffect::kPartial:
      complete_ = false;
      if (options_.has_replay && !resync_at_) resync_at_ = now + options_.resync_after;
      return;
    case BatchEffect::kMalformed:
      // What it removed is not known, so what was stored before it cannot be believed.
      ++figures_.malformed;
      forget();
      return;
  }
}

void EventStream::forget() {
  ++figures_.forgotten;
  sink_.forget();
  confirming_ = false;
  complete_ = false;
  unproved_ = false;
}

void EventStream::start_at(std::uint64_t sequence) {
  placed_ = true;
  complete_ = sequence == 0;
  next_ = sequence;
}

void EventStream::count_lost(std::uint64_t until) {
  figures_.lost += std::min(until - next_, kGapMax);
}

// In order again.
void EventStream::settle() {
  attempts_ = 0;
  confirming_ = false;
  state_ = complete_ ? StreamState::kLive : StreamState::kDegraded;
}

void EventStream::on_batch(std::uint64_t sequence, std::string_view payload, Time now) {
  on_connected(now);
  take_live(sequence, payload, now);
  live_ = sequence;
  confirm_at_.reset();
}

void EventStream::take_live(std::uint64_t sequence, std::string_view payload, Time now) {
  if (placed_ && sequence < next_) return on_regressed(sequence, payload, now);
  if (marked_ > 0 && sequence - next_ > kGapMax) return restart(sequence, payload, now);
  switch (state_) {
    case StreamState::kGap:
    case StreamState::kReplaying:
      return hold(sequence, payload, now);
    case StreamState::kJoining:
      // The first batch of all needs no replay.
      if (options_.has_replay && (placed_ || sequence != 0)) return hold(sequence, payload, now);
      start_at(sequence);
      break;
    case StreamState::kLive:
    case StreamState::kDegraded:
      if (!placed_) start_at(sequence);
      if (sequence == next_) break;
      ++figures_.gaps;
      if (options_.has_replay) {
        want_replay(now);
        return hold(sequence, payload, now);
      }
      count_lost(sequence);
      forget();
      break;
  }
  apply(sequence, payload, now);
  settle();
}

// A number below the next one.
void EventStream::on_regressed(std::uint64_t sequence, std::string_view payload, Time now) {
  const Seen before = seen(sequence, payload);
  const bool trails = live_ && sequence > *live_ && before != Seen::kOther;
  if (before == Seen::kSame || trails) {
    ++figures_.duplicates;
    return;
  }
  const bool second_in_row = passed_over_ && sequence == *passed_over_ + 1;
  if (before == Seen::kPassedOver && sequence != 0 && !second_in_row) {
    ++figures_.late;
    passed_over_ = sequence;
    return;
  }
  restart(sequence, payload, now);
}

// Another publisher has taken the place of the known one; this is a batch of its own.
void EventStream::restart(std::uint64_t sequence, std::string_view payload, Time now) {
  start_over(now);
  if (options_.has_replay && sequence != 0) return hold(sequence, payload, now);
  start_at(sequence);
  apply(sequence, payload, now);
  settle();
}

void EventStream::start_over(Time now) {
  ++figures_.restarts;
  ask_for_all(now);
}

void EventStream::ask_for_all(Time now) {
  forget();
  drop_held();
  marked_ = 0;
  next_ = 0;
  passed_over_.reset();
  resync_at_.reset();
  witness_awaited_ = false;
  attempts_ = 0;
  placed_ = options_.has_replay;
  complete_ = placed_;
  if (options_.has_replay) want_replay(now);
}

void EventStream::drop_held() {
  held_.clear();
  held_bytes_ = 0;
}

void EventStream::want_replay(Time now) {
  confirming_ = false;
  state_ = StreamState::kGap;
  replay_at_ = now;
}

void EventStream::confirm(Time now) {
  if (state_ != StreamState::kLive && state_ != StreamState::kDegraded) {
    confirm_at_ = now + options_.confirm_after;  // In the middle of a replay of its own.
    return;
  }
  confirm_at_.reset();
  want_replay(now);
  confirming_ = true;
}

void EventStream::hold(std::uint64_t sequence, std::string_view payload, Time now) {
  const auto at = std::lower_bound(
      held_.begin(), held_.end(), sequence,
      [](const Batch& batch, std::uint64_t number) { return batch.sequence < number; });
  if (at != held_.end() && at->sequence == sequence) {
    if (at->payload == payload) {
      ++figures_.duplicates;
      return;
    }
    return restart(sequence, payload, now);
  }
  if (held_.size() >= options_.held_batches_max ||
      held_bytes_ + payload.size() > options_.held_bytes_max) {
    // It will be missed later, which is a gap of its own.
    ++figures_.held_dropped;
    return;
  }
  held_.insert(at, Batch{sequence, std::string(payload)});
  held_bytes_ += payload.size();
  // Late batches may close a gap by themselves. A witness that was asked for is still wanted.
  const bool closes = state_ == StreamState::kGap || state_ == StreamState::kReplaying;
  if (closes && marked_ > 0 && !witness_awaited_ && sequence == next_ && drain(now)) {
    settle();
  }
}

// Applies held batches while they follow. Whether none is left.
bool EventStream::drain(Time now) {
  while (!held_.empty() && held_.front().sequence <= next_) {
    const Batch batch = std::move(held_.front());
    held_.pop_front();
    held_bytes_ -= batch.payload.size();
    if (batch.sequence == next_) {
      apply(batch.sequence, batch.payload, now);
      continue;
    }
    if (seen(batch.sequence, batch.payload) == Seen::kOther) {
      restart(batch.sequence, batch.payload, now);
      return false;
    }
    ++figures_.duplicates;  // The replay had it too.
  }
  return held_.empty();
}

void EventStream::on_connected(Time now) {
  const Link before = std::exchange(link_, Link::kUp);
  if (before != Link::kUp && options_.has_replay && !planted(Mutant::kUnconfirmedLink)) {
    confirm_at_ = now + options_.confirm_after;
    confirms_failed_ = 0;
  }
  if (before != Link::kDown) return;
  if (!planted(Mutant::kUncancelledTimer)) forget_at_.reset();
  live_.reset();
  drop_held();  // Who sent it is not known; a replay brings it again.
  if (!placed_) {
    state_ = StreamState::kJoining;
    attempts_ = 0;
    replay_at_ = now;
    return;
  }
  if (options_.has_replay) {
    if (planted(Mutant::kUnaskedGap)) return settle();
    witness_awaited_ = marked_ > 0;
    attempts_ = 0;
    want_replay(now);
    return;
  }
  forget();
  placed_ = false;
  marked_ = 0;
  state_ = StreamState::kJoining;
}

void EventStream::on_disconnected(Time now) {
  if (link_ == Link::kDown) return;
  link_ = Link::kDown;
  confirm_at_.reset();
  if (!planted(Mutant::kKeptForever)) forget_at_ = now + options_.disconnected_max;
}

std::optional<std::uint64_t> EventStream::wanted_replay(Time now) const {
  const bool waits = state_ == StreamState::kGap || state_ == StreamState::kJoining;
  if (!waits || !options_.has_replay || link_ == Link::kDown || now < asks_at())
    return std::nullopt;
  return marked_ > 0 && next_ > 0 ? next_ - 1 : next_;
}

Time EventStream::asks_at() const {
  return std::max(replay_at_, replays_paid_ - kReplaysInARow * options_.replay_backoff);
}

void EventStream::on_replay_asked(Time now) {
  ++figures_.replays;
  replays_paid_ = std::max(replays_paid_, now) + options_.replay_backoff;
  if (!placed_) {
    start_at(0);
    confirming_ = false;  // Nothing is known that could be confirmed.
  }
  witness_awaited_ = marked_ > 0;
  progress_ = false;
  state_ = StreamState::kReplaying;
  replay_over_ = now + options_.replay_time_max;
  await_reply(now);
}

// Others wait for their turn: who sends what is no news is as silent.
void EventStream::await_reply(Time now) {
  replay_silent_ = std::min(now + options_.replay_silence_max, replay_over_);
}

void EventStream::on_replay_batch(std::uint64_t sequence, std::string_view payload, Time now) {
  if (!replaying()) return;
  if (witness_awaited_ && sequence + 1 == next_) {
    if (seen(sequence, payload) == Seen::kSame) {
      await_reply(now);
      witness_awaited_ = false;
      unproved_ = false;
    } else {
      start_over(now);
    }
    return;
  }
  if (sequence < next_) return;
  if (sequence > next_ || witness_awaited_) {
    // The publisher keeps less than what is missing.
    count_lost(sequence);
    if (marked_ > 0) forget();
    complete_ = false;
    witness_awaited_ = false;
  }
  progress_ = true;
  await_reply(now);
  ++figures_.replayed;
  apply(sequence, payload, now);
}

void EventStream::on_replay_end(Time now) {
  if (!replaying()) return;
  // The publisher that was known would have had its last batch still.
  if (witness_awaited_) return start_over(now);
  given_up_ = 0;
  if (drain(now)) return settle();
  if (!replaying()) return;  // What was held told of a restart.
  if (!progress_ && ++attempts_ >= options_.replay_attempts_max) return give_up(now);
  if (progress_) attempts_ = 0;
  want_replay(now);
  replay_at_ = now + options_.replay_backoff * (1U << std::min(attempts_, kBackoffDoublings));
}

void EventStream::on_replay_failed(Time now) {
  if (!replaying()) return;
  ++figures_.replays_failed;
  // Nothing is known to be missing, so nothing is given up.
  if (std::exchange(confirming_, false) && !progress_ && drain(now)) {
    if (!live_) {
      ++confirms_failed_;
      confirm_at_ =
          now + options_.confirm_after * (1U << std::min(confirms_failed_, kBackoffDoublings));
    }
    return settle();
  }
  if (!replaying()) return;  // What was held told of a restart.
  if (!progress_ && ++attempts_ >= options_.replay_attempts_max) return give_up(now);
  if (progress_) attempts_ = 0;
  want_replay(now);
  replay_at_ = now + options_.replay_backoff * (1U << std::min(attempts_, kBackoffDoublings));
}

// Goes on from what is held, or from the next batch, without what is missing.
void EventStream::give_up(Time now) {
  forget();
  resync_at_ = now + options_.resync_after * (1U << std::min(given_up_++, kBackoffDoublings));
  witness_awaited_ = false;
  while (!held_.empty()) {
    const Batch batch = std::move(held_.front());
    held_.pop_front();
    held_bytes_ -= batch.payload.size();
    if (batch.sequence < next_) continue;
    if (batch.sequence > next_ && marked_ > 0) forget();
    count_lost(batch.sequence);
    apply(batch.sequence, batch.payload, now);
  }
  if (marked_ == 0) placed_ = false;
  settle();
}

std::optional<Time> EventStream::deadline() const {
  std::optional<Time> first = forget_at_;
  const auto at = [&first](Time time) { first = first ? std::min(*first, time) : time; };
  if (resync_at_) at(*resync_at_);
  if (confirm_at_) at(*confirm_at_);
  if (state_ == StreamState::kReplaying) at(replay_silent_);
  const bool waits = state_ == StreamState::kGap || state_ == StreamState::kJoining;
  if (waits && options_.has_replay && link_ != Link::kDown) at(asks_at());
  return first;
}

void EventStream::on_time(Time now) {
  if (forget_at_ && now >= *forget_at_) {
    forget_at_.reset();
    forget();
    drop_held();
    resync_at_.reset();
    marked_ = 0;
    next_ = 0;
    placed_ = false;
    witness_awaited_ = false;
    state_ = StreamState::kJoining;
    replay_at_ = now;
  }
  if (resync_at_ && now >= *resync_at_) {
    resync_at_.reset();
    if (state_ == StreamState::kDegraded) {
      ask_for_all(now);
    } else if (!complete_) {
      resync_at_ = now + options_.resync_after;  // In the middle of another gap.
    }
  }
  if (confirm_at_ && now >= *confirm_at_) confirm(now);
  if (replaying() && now >= replay_silent_) on_replay_failed(now);
}

}  // namespace fairlead::prefix
