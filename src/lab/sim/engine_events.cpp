// SPDX-License-Identifier: Apache-2.0
// What an engine tells of its cache, and what becomes of it on the way.
#include <algorithm>
#include <utility>

#include "lab/sim/engine_host.h"

namespace fairlead::sim {
namespace {

constexpr double kLostShare = 0.3;
constexpr double kLateShare = 0.4;
constexpr double kTwiceShare = 0.1;
constexpr double kLateSeconds = 0.06;
// After which a subscriber that lost its publisher has tried again.
constexpr double kLinkSecondsMin = 0.02;
constexpr double kLinkSecondsMore = 0.4;
// What is published before a subscription takes effect reaches nobody.
constexpr double kEffectSeconds = 0.3;

}  // namespace

void EngineHost::clear_cache() {
  if (down_ || stalled() || !model_.reset_prefix_cache()) return;
  publish();
}

void EngineHost::publish() {
  if (log_.empty()) return;
  for (const engine::CacheChange& change : log_) {
    add_event(change);
    count_copies(change);
  }
  log_.clear();
  std::string payload;
  writer_.finish(to_seconds(agenda_.now()) + 1e6 * lives_, 0, payload);
  kept_.push_back(std::move(payload));
  for (Subscriber& subscriber : subscribers_) {
    if (subscriber.hears) send(subscriber, kept_.size() - 1);
  }
}

void EngineHost::send(Subscriber& subscriber, std::uint64_t sequence) {
  if (lasts(losing_until_) && random_.uniform() < kLostShare) {
    subscriber.misses = true;
    return;
  }
  if (std::exchange(subscriber.misses, false)) subscriber.can_tell_since = agenda_.now();
  const bool late = lasts(reordering_until_) && random_.uniform() < kLateShare;
  send_batch(subscriber, sequence,
             late ? from_seconds(kLateSeconds * random_.uniform()) : Duration{});
  if (lasts(reordering_until_) && random_.uniform() < kTwiceShare) {
    send_batch(subscriber, sequence, from_seconds(kLateSeconds * random_.uniform()));
  }
}

void EngineHost::count_copies(const engine::CacheChange& change) {
  using Kind = engine::CacheChange::Kind;
  if (change.kind == Kind::kCleared) copies_.clear();
  if (change.kind == Kind::kRemoved) --copies_[change.hash].now;
  for (const std::uint64_t hash : change.hashes) {
    Copies& copies = copies_[hash];
    copies.most = std::max(copies.most, ++copies.now);
  }
}

std::uint32_t EngineHost::copies_of(std::uint64_t hash) const {
  const auto found = copies_.find(hash);
  return found == copies_.end() ? 0 : found->second.most;
}

void EngineHost::add_event(const engine::CacheChange& change) {
  using Kind = engine::CacheChange::Kind;
  codec::KvEvent event;
  event.medium = "GPU";
  event.group = 0;
  switch (change.kind) {
    case Kind::kStored:
      event.kind = codec::KvEventKind::kStored;
      event.hashes = change.hashes;
      event.parent = change.parent;
      event.tokens =
          std::span(change.content->tokens)
              .subspan(change.first_block * kBlockTokens, change.hashes.size() * kBlockTokens);
      event.block_size = kBlockTokens;
      event.spec_kind = "full_attention";
      break;
    case Kind::kRemoved:
      event.kind = codec::KvEventKind::kRemoved;
      event.hashes = std::span(&change.hash, 1);
      break;
    case Kind::kCleared:
      event = {};
      event.kind = codec::KvEventKind::kCleared;
      break;
  }
  writer_.add(event);
}

void EngineHost::send_batch(const Subscriber& subscriber, std::uint64_t sequence, Duration extra) {
  agenda_.after(kWire + extra, subscriber.caller.wrap([this, sequence, payload = kept_[sequence],
                                                       mine = subscriber.link] {
    Subscriber* const now = linked(mine);
    if (now != nullptr) now->port->on_batch(sequence, payload);
  }));
}

void EngineHost::listen(KvListenerPort& port, const Caller& caller) {
  subscribers_.push_back({.port = &port, .caller = caller, .number = ++subscriptions_});
  link_later(subscribers_.back());
}

void EngineHost::stop_listening(const KvListenerPort& port) {
  std::erase_if(subscribers_, [&](const Subscriber& one) { return one.port == &port; });
}

EngineHost::Subscriber* EngineHost::linked(std::uint64_t link) {
  const auto found = std::ranges::find(subscribers_, link, &Subscriber::link);
  return found == subscribers_.end() || !found->linked ? nullptr : &*found;
}

// The subscription takes effect a while after the connection stands.
void EngineHost::link_later(Subscriber& subscriber) {
  if (subscriber.linked) return;
  const std::uint64_t mine = subscriber.link = ++links_;
  const Duration delay = from_seconds(kLinkSecondsMin + kLinkSecondsMore * random_.uniform());
  const Duration effect = from_seconds(kEffectSeconds * random_.uniform());
  agenda_.after(delay, [this, mine, effect] {
    const auto found = std::ranges::find(subscribers_, mine, &Subscriber::link);
    if (found == subscribers_.end() || down_ || is_cut(found->caller.wire)) return;
    found->linked = true;
    found->published_before = kept_.size();
    tell_link(*found, &KvListenerPort::on_linked);
    agenda_.after(effect, [this, mine] {
      Subscriber* const now = linked(mine);
      if (now != nullptr) now->hears = true;
    });
  });
}

void EngineHost::tell_link(const Subscriber& subscriber, void (KvListenerPort::*what)()) {
  agenda_.after(kWire, subscriber.caller.wrap([this, what, number = subscriber.number] {
    const auto found = std::ranges::find(subscribers_, number, &Subscriber::number);
    if (found != subscribers_.end()) (found->port->*what)();
  }));
}

void EngineHost::unlink(Subscriber& subscriber) {
  if (!std::exchange(subscriber.linked, false)) return;
  subscriber.hears = subscriber.misses = false;
  tell_link(subscriber, &KvListenerPort::on_unlinked);
}

Time EngineHost::can_tell_since(const KvListenerPort& port) const {
  const auto found = std::ranges::find(subscribers_, &port, &Subscriber::port);
  if (found == subscribers_.end() || found->misses) return Time::max();
  return std::max(disturbed_until(found->caller.wire), found->can_tell_since);
}

std::uint64_t EngineHost::published_before(const KvListenerPort& port) const {
  const auto found = std::ranges::find(subscribers_, &port, &Subscriber::port);
  return found == subscribers_.end() ? 0 : found->published_before;
}

void EngineHost::replay(std::uint64_t from,
                        std::function<void(std::uint64_t, std::string_view)> each, Task end,
                        const Caller& caller) {
  ask(caller.wire, {}, caller.wrap([this, from, each = std::move(each), end = std::move(end)] {
    for (std::uint64_t sequence = from; sequence < kept_.size(); ++sequence) {
      each(sequence, kept_[sequence]);
    }
    end();
  }),
      [] {});
}

}  // namespace fairlead::sim
