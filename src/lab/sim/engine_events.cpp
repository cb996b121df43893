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

}  // namespace

void EngineHost::clear_cache() {
  if (down_ || stalled() || !model_.reset_prefix_cache()) return;
  publish();
}

void EngineHost::publish() {
  if (log_.empty()) return;
  for (const engine::CacheChange& change : log_) add_event(change);
  log_.clear();
  std::string payload;
  writer_.finish(to_seconds(agenda_.now()) + 1e6 * lives_, 0, payload);
  kept_.push_back(std::move(payload));
  const std::uint64_t sequence = kept_.size() - 1;
  if (!linked_ || listener_ == nullptr) return;
  if (lasts(losing_until_) && random_.uniform() < kLostShare) return;
  const bool late = lasts(reordering_until_) && random_.uniform() < kLateShare;
  send_batch(sequence, late ? from_seconds(kLateSeconds * random_.uniform()) : Duration{});
  if (lasts(reordering_until_) && random_.uniform() < kTwiceShare) {
    send_batch(sequence, from_seconds(kLateSeconds * random_.uniform()));
  }
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

void EngineHost::send_batch(std::uint64_t sequence, Duration extra) {
  agenda_.after(kWire + extra,
                listener_wrap_([this, sequence, payload = kept_[sequence], mine = listeners_] {
                  if (mine == listeners_ && listener_ != nullptr && linked_) {
                    listener_->on_batch(sequence, payload);
                  }
                }));
}

void EngineHost::listen(KvListenerPort* port, const Wrap& wrap) {
  listener_ = port;
  listener_wrap_ = wrap;
  ++listeners_;
  linked_ = false;
  if (port != nullptr) link_later();
}

void EngineHost::link_later() {
  const Duration delay = from_seconds(kLinkSecondsMin + kLinkSecondsMore * random_.uniform());
  agenda_.after(delay, [this, mine = listeners_] {
    if (mine != listeners_ || listener_ == nullptr || linked_ || down_ || partitioned()) return;
    linked_ = true;
    agenda_.after(kWire, listener_wrap_([this, mine] {
                    if (mine == listeners_ && listener_ != nullptr) listener_->on_linked();
                  }));
  });
}

void EngineHost::unlink() {
  if (!std::exchange(linked_, false) || listener_ == nullptr) return;
  agenda_.after(kWire, listener_wrap_([this, mine = listeners_] {
                  if (mine == listeners_ && listener_ != nullptr) listener_->on_unlinked();
                }));
}

void EngineHost::replay(std::uint64_t from,
                        std::function<void(std::uint64_t, std::string_view)> each, Task end,
                        const Wrap& wrap) {
  ask({}, wrap([this, from, each = std::move(each), end = std::move(end)] {
        for (std::uint64_t sequence = from; sequence < kept_.size(); ++sequence) {
          each(sequence, kept_[sequence]);
        }
        end();
      }),
      [] {});
}

}  // namespace fairlead::sim
