// SPDX-License-Identifier: Apache-2.0
#include "lab/sim/kv_knowledge.h"

#include <utility>

#include "lab/sim/kv_follower.h"

namespace fairlead::sim {
namespace {

constexpr std::uint64_t kBudgetBytes = std::uint64_t{16} << 20;
constexpr std::uint32_t kRows = 256;
constexpr std::size_t kReplaysMax = 2;
constexpr std::size_t kSweepSteps = 2'000;
constexpr Duration kExpectFor = std::chrono::seconds(2);

}  // namespace

KvKnowledge::KvKnowledge(WireId wire, RouterLoop& loop, const Agenda& agenda, Ledger& ledger,
                         const PromptBlocks& blocks)
    : wire_(wire),
      loop_(loop),
      agenda_(agenda),
      ledger_(ledger),
      blocks_(blocks),
      keys_(kKeySeed),
      lane_({.seed = kKeySeed, .budget_bytes = kBudgetBytes, .slots_max = kRows}),
      context_(lane_, keys_),
      lanes_{&lane_},
      index_(lanes_),
      rows_(index_, kEndpointsMax, 0.8),
      expected_(lane_),
      replays_left_(kReplaysMax) {}

KvKnowledge::~KvKnowledge() { followers_.clear(); }

void KvKnowledge::set_pool(const model::PoolSnapshot& pool,
                           const std::function<EngineHost&(const model::Endpoint&)>& engine_of) {
  std::erase_if(followers_, [&](const auto& entry) {
    const model::EndpointRef ref = entry.second->ref();
    const model::Endpoint* const endpoint = pool.find(ref.slot);
    if (endpoint != nullptr && endpoint->ref == ref) return false;
    rows_.set_trust(ref.slot, prefix::Trust::kAbsent);
    if (const auto expected = expected_.slot(ref)) {
      rows_.release(*expected);
      expected_.close(ref);
      context_.add_retired(*expected);
    }
    return true;
  });
  wake_waiting();  // Whoever left may have had a replay under way.
  for (const model::Endpoint& endpoint : pool.endpoints) {
    auto& follower = followers_[endpoint.ref.slot];
    if (follower != nullptr) continue;
    EngineHost& engine = engine_of(endpoint);
    follower = std::make_unique<KvFollower>(*this, endpoint.ref, engine, take_resumable(engine));
    if (const auto expected = expected_.open(endpoint.ref)) {
      rows_.assign(*expected, endpoint.ref.slot, prefix::ToldRows::Kind::kExpected);
    }
    follower->look();
  }
}

void KvKnowledge::expect(model::EndpointRef endpoint, std::span<const std::uint64_t> keys,
                         Time now) {
  const auto found = followers_.find(endpoint.slot);
  if (found == followers_.end() || !(found->second->ref() == endpoint)) return;
  const std::optional<prefix::KvSlot> told = found->second->slot();
  expected_.add(endpoint, {keys.begin(), keys.end()}, now + kExpectFor,
                told ? std::span(&*told, 1) : std::span<const prefix::KvSlot>());
}

void KvKnowledge::tick() {
  expected_.expire(agenda_.now());
  drop_resumable();
  lane_.sweep(kSweepSteps);
  context_.recycle_swept();
  for (const auto& [slot, follower] : followers_) {
    follower->check_away();
    to_check_ |= follower->note_healing();
  }
  if (!saving_ && std::exchange(to_check_, false)) check_blocks();
}

void KvKnowledge::replay_ended() {
  replays_left_.give_back();
  wake_waiting();
}

// Each once: whoever finds no room waits again.
void KvKnowledge::wake_waiting() {
  for (std::size_t left = waiting_.size(); left > 0; --left) {
    const auto found = followers_.find(waiting_.front());
    waiting_.pop_front();
    if (found == followers_.end()) continue;
    found->second->stop_waiting();
    found->second->look();
    if (found->second->stream().replaying()) return;
  }
}

}  // namespace fairlead::sim
