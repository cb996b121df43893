// SPDX-License-Identifier: Apache-2.0
#include "lab/world/told_caches.h"

#include <utility>

#include "base/assert.h"
#include "core/prefix/token_keys.h"
#include "lab/world/prepared_workload.h"

namespace fairlead::world {
namespace {

using prefix::ToldRows;

// Each engine's device memory, and what was sent to it.
constexpr std::uint32_t kSlotsAnEngine = 2;
// All engines hash alike.
constexpr prefix::KvDomain kShared = 0;

}  // namespace

ToldCaches::ToldCaches(const scheduling::KvEventSettings& settings, std::uint32_t engines,
                       std::uint32_t block_tokens)
    : expect_for_(settings.expect_for),
      root_(
          prefix::TokenKeys(PreparedWorkload::kTokenKeySeed).root({.block_tokens = block_tokens})),
      lane_({.seed = PreparedWorkload::kTokenKeySeed,
             .budget_bytes = settings.budget_bytes,
             .slots_max = kSlotsAnEngine * engines}),
      lanes_{&lane_},
      index_(lanes_),
      rows_(index_, engines, settings.host_weight),
      expected_(lane_) {
  for (std::uint32_t engine = 0; engine < engines; ++engine) {
    const auto slot = lane_.open(kShared);
    FAIRLEAD_ASSERT(slot.has_value());
    slots_.push_back(*slot);
    rows_.assign(*slot, engine, ToldRows::Kind::kDevice);
    rows_.set_trust(engine, prefix::Trust::kTrusted);
    if (!expect_for_) continue;
    const auto expected = expected_.open({engine, 0});
    FAIRLEAD_ASSERT(expected.has_value());
    rows_.assign(*expected, engine, ToldRows::Kind::kExpected);
  }
}

void ToldCaches::apply(std::uint32_t engine, const engine::CacheLog& log) {
  using Kind = engine::CacheChange::Kind;
  take_sent(Time::max());  // The engine may tell of it.
  const prefix::KvSlot slot = slots_[engine];
  removed_.clear();
  const auto remove = [&] {
    if (!removed_.empty()) lane_.remove(slot, removed_);
    removed_.clear();
  };
  for (const engine::CacheChange& change : log) {
    FAIRLEAD_ASSERT(change.kind != Kind::kCleared);  // Nobody clears a cache in this world.
    if (change.kind == Kind::kRemoved) {
      removed_.push_back(change.hash);
      continue;
    }
    remove();
    const auto last_key = lane_.store(slot, root_, change.parent, change.hashes, change.hashes);
    if (last_key) expected_.told({engine, 0}, *last_key);
  }
  remove();
}

void ToldCaches::expect(model::EndpointRef endpoint, std::span<const std::uint64_t> keys,
                        Time now) {
  if (!expect_for_) return;
  sent_.push_back({endpoint, {keys.begin(), keys.end()}, now});
}

void ToldCaches::catch_up(Time now) {
  const Time tick{now.time_since_epoch() / prefix::kKvTick * prefix::kKvTick};
  take_sent(tick);
  expected_.expire(tick);
}

void ToldCaches::take_sent(Time up_to) {
  for (; !sent_.empty() && sent_.front().at <= up_to; sent_.pop_front()) {
    Sent& one = sent_.front();
    expected_.add(one.endpoint, std::move(one.keys), one.at + *expect_for_,
                  std::span(&slots_[one.endpoint.slot], 1));
  }
}

}  // namespace fairlead::world
