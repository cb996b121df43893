// SPDX-License-Identifier: Apache-2.0
#include "lab/sim/kv_follower.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace fairlead::sim {
namespace {

constexpr std::size_t kHeldMax = 400;
// EventStreamOptions::disconnected_max, shorter, so that a world lives to see it.
constexpr Duration kAwayMax = std::chrono::seconds(6);
constexpr Duration kForgetsIn = std::chrono::milliseconds(100);
constexpr Duration kLookAgain = std::chrono::milliseconds(20);
// Between the end of what disturbs a stream and the end of what it does about it.
constexpr Duration kEcho = std::chrono::seconds(3);
// Shorter than this it is behind all the time.
constexpr Duration kBehind = std::chrono::milliseconds(100);

prefix::EventStreamOptions stream_options() {
  prefix::EventStreamOptions options;
  options.has_replay = true;
  options.held_batches_max = kHeldMax;
  options.replay_silence_max = std::chrono::milliseconds(500);
  options.replay_time_max = std::chrono::seconds(5);
  options.resync_after = std::chrono::seconds(1);
  options.disconnected_max = kAwayMax;
  options.confirm_after = std::chrono::milliseconds(500);
  return options;
}

}  // namespace

KvFollower::KvFollower(KvKnowledge& owner, model::EndpointRef ref, EngineHost& engine,
                       std::optional<Resumable> saved)
    : owner_(owner),
      ref_(ref),
      engine_(engine),
      feed_(owner.context_,
            {.model = {}, .hash_seed = {}, .expected = &owner.expected_, .endpoint = ref}),
      stream_(*this, stream_options()),
      life_(engine.lives()),
      born_(owner.agenda_.now()),
      caught_up_(born_) {
  if (saved) {
    life_ = saved->life;
    told_any_ = resumed_ = unproved_ = true;
    feed_.resume(std::move(saved->known.feed));
    sync_rows();
    stream_.resume(saved->known.stream);
  }
  engine_.listen(*this, owner_.caller());
}

KvFollower::~KvFollower() {
  engine_.stop_listening(*this);
  if (replay_) owner_.replays_left_.give_back();
  for (const auto& slot : slots_) {
    if (slot) owner_.rows_.release(*slot);
  }
}

prefix::BatchEffect KvFollower::apply(std::uint64_t sequence, std::string_view payload) {
  const prefix::BatchEffect effect = feed_.apply(sequence, payload);
  if (effect == prefix::BatchEffect::kMalformed) {
    owner_.ledger_.found("readable events", fmt::format("engine {}", engine_.number()));
  }
  if (effect == prefix::BatchEffect::kEmptied) resumed_ = false;
  if (!std::exchange(told_any_, true)) life_ = engine_.lives();
  sync_rows();
  return effect;
}

void KvFollower::forget() {
  const Time now = owner_.agenda_.now();
  const Time runs = owner_.loop_.running_since();
  const Time quiet = std::max(engine_.disturbed_until(owner_.wire_), runs > born_ ? runs : Time{});
  // What could not be had is asked for again at intervals that double.
  const Duration lasted = std::max(quiet - caught_up_, Duration{});
  const bool disturbed = now < quiet + kEcho + lasted;
  if (told_any_ && !disturbed && life_ == engine_.lives()) {
    owner_.ledger_.found("nothing forgotten without cause",
                         fmt::format("all that engine {} told", engine_.number()));
  }
  life_ = engine_.lives();
  told_any_ = resumed_ = unproved_ = false;
  feed_.forget();
  sync_rows();
  sync_trust();
}

void KvFollower::sync_rows() {
  if (feed_.slots_version() == slots_version_) return;
  slots_version_ = feed_.slots_version();
  for (std::size_t tier = 0; tier < slots_.size(); ++tier) {
    if (slots_[tier] == feed_.slots()[tier]) continue;
    if (slots_[tier]) owner_.rows_.release(*slots_[tier]);
    slots_[tier] = feed_.slots()[tier];
    if (slots_[tier]) {
      owner_.rows_.assign(*slots_[tier], ref_.slot, prefix::ToldRows::Kind::kDevice);
    }
  }
}

void KvFollower::sync_trust() {
  if (unproved_ && stream_.trust() != prefix::Trust::kAbsent) {
    owner_.ledger_.found("nothing saved is believed unproved",
                         fmt::format("engine {} was not asked yet", engine_.number()));
  }
  const bool same = link_life_ == engine_.lives() && link_life_ == life_;
  if (same && stream_.trust() == prefix::Trust::kTrusted &&
      stream_.next_sequence() < before_link_) {
    owner_.ledger_.found(
        "what was missed is asked for",
        fmt::format("engine {} had published {} batches when the connection stood, "
                    "and is trusted after {}",
                    engine_.number(), before_link_, stream_.next_sequence()));
  }
  owner_.rows_.set_trust(ref_.slot, stream_.trust());
}

void KvFollower::on_linked() {
  connected_ = true;
  away_since_.reset();
  link_life_ = engine_.lives();
  before_link_ = engine_.published_before(*this);
  stream_.on_connected(owner_.agenda_.now());
  look();
}

void KvFollower::on_unlinked() {
  away_since_ = owner_.agenda_.now();
  stream_.on_disconnected(owner_.agenda_.now());
  look();
}

void KvFollower::on_batch(std::uint64_t sequence, std::string_view payload) {
  stream_.on_batch(sequence, payload, owner_.agenda_.now());
  look();
}

void KvFollower::look() {
  const Time now = owner_.agenda_.now();
  if (replay_ && !stream_.replaying()) end_replay();
  if (connected_ && !waiting_) {
    if (const auto from = stream_.wanted_replay(now)) ask(*from);
  }
  on_settled();
  check_bounds();
  const auto deadline = stream_.deadline();
  const std::uint64_t mine = ++looks_;
  if (!deadline) return;
  const Duration wait = *deadline > now ? *deadline - now : kLookAgain;
  owner_.loop_.after(wait, [&owner = owner_, ref = ref_, mine] {
    const auto found = owner.followers_.find(ref.slot);
    if (found == owner.followers_.end() || !(found->second->ref_ == ref)) return;
    KvFollower& follower = *found->second;
    if (mine != follower.looks_) return;
    follower.stream_.on_time(owner.agenda_.now());
    follower.look();
  });
}

void KvFollower::ask(std::uint64_t from) {
  if (!owner_.replays_left_.take()) {
    waiting_ = true;
    owner_.waiting_.push_back(ref_.slot);
    return;
  }
  stream_.on_replay_asked(owner_.agenda_.now());
  replay_ = ++replays_;
  // What comes of it, unless the replay was broken off or the endpoint left meanwhile.
  const auto here = [&owner = owner_, ref = ref_, mine = *replay_]() -> KvFollower* {
    const auto found = owner.followers_.find(ref.slot);
    if (found == owner.followers_.end() || !(found->second->ref_ == ref)) return nullptr;
    return found->second->replay_ == mine ? found->second.get() : nullptr;
  };
  engine_.replay(
      from,
      [here](std::uint64_t sequence, std::string_view payload) {
        KvFollower* const follower = here();
        if (follower == nullptr) return;
        follower->unproved_ = false;
        follower->stream_.on_replay_batch(sequence, payload, follower->owner_.agenda_.now());
        follower->look();
      },
      [here] {
        KvFollower* const follower = here();
        if (follower == nullptr) return;
        follower->stream_.on_replay_end(follower->owner_.agenda_.now());
        follower->look();
      },
      owner_.caller());
}

void KvFollower::end_replay() {
  replay_.reset();
  owner_.replay_ended();
}

void KvFollower::check_bounds() {
  if (stream_.held_batches() <= kHeldMax) return;
  owner_.ledger_.found("bounded queues", fmt::format("{} batches of engine {} are held",
                                                     stream_.held_batches(), engine_.number()));
}

bool KvFollower::is_caught_up() const {
  return stream_.trust() == prefix::Trust::kTrusted && (!told_any_ || life_ == engine_.lives()) &&
         stream_.next_sequence() == engine_.published();
}

void KvFollower::check_away() {
  if (!away_since_ || !told_any_) return;
  const Time since = std::max(*away_since_, owner_.loop_.running_since());
  if (owner_.agenda_.now() <= since + kAwayMax + kForgetsIn) return;
  owner_.ledger_.found("who stays away is forgotten",
                       fmt::format("engine {} was away for {:.3f} s, and what it told is known",
                                   engine_.number(), to_seconds(owner_.agenda_.now() - since)));
}

bool KvFollower::note_healing() {
  const Time now = owner_.agenda_.now();
  if (is_caught_up()) return now - std::exchange(caught_up_, now) > kBehind;
  const Time quiet =
      std::max({engine_.can_tell_since(*this), owner_.loop_.running_since(), born_, caught_up_});
  if (quiet >= now) return false;
  const Duration disturbed = quiet - caught_up_;
  if (now - quiet > kHealsIn + disturbed) {
    owner_.ledger_.found(
        "events heal in time",
        fmt::format("{:.3f} s after the last disturbance the stream of engine {} is {}",
                    to_seconds(now - quiet), engine_.number(), prefix::to_string(stream_.state())));
  }
  return false;
}

std::size_t KvFollower::told(const Prompt& prompt) {
  if (!slot()) return 0;
  owner_.depths_.resize(owner_.index_.rows());
  owner_.index_.match(prompt.token_keys, owner_.depths_);
  return owner_.depths_[*slot()];
}

}  // namespace fairlead::sim
