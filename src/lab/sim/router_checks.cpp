// SPDX-License-Identifier: Apache-2.0
// What a router believes, compared with what is so.
#include <fmt/format.h>

#include <algorithm>

#include "lab/sim/router_node.h"

namespace fairlead::sim {
namespace {

// Three probes of the longest interval and time-out that a reload may set, and a tick.
constexpr Duration kFindsOut = std::chrono::milliseconds(4'600);
// What was under way may fail a second late, and end what came of it before; then the longest
// ejection, the next probe, and a tick.
constexpr Duration kUsedAgain = std::chrono::milliseconds(6'200);
// The ramp, or the next time that models are asked for.
constexpr Duration kServesFully = kUsedAgain + std::chrono::milliseconds(2'200);

}  // namespace

void RouterNode::hold(model::EndpointRef endpoint, int shares) { held_[endpoint.slot] += shares; }

void RouterNode::note(const picker::DecisionNote& note) {
  // An endpoint of the pool may be chosen, or there is a reason why not; but whoever holds what a
  // request goes on from is asked alone.
  const model::PoolSnapshot& pool = *pool_;
  const auto holder = note.request.holder;
  const model::Endpoint* const known = holder ? pool.find(holder->slot) : nullptr;
  const bool held = known != nullptr && known->ref == *holder;
  const std::size_t seen = note.table.size() + note.excluded.size();
  if (!held && seen != pool.endpoints.size()) {
    world_.ledger.found("whole pool", fmt::format("a decision saw {} of {} endpoints", seen,
                                                  pool.endpoints.size()));
  }
  if (note.reply != model::ReplyReason::kNone) return;
  // Who was never asked may be healthy, and is better than nobody.
  const model::Endpoint* const chosen = pool.find(note.decision.endpoint.slot);
  const bool in_pool = chosen != nullptr && chosen->ref == note.decision.endpoint;
  if (!in_pool || (!chosen->takes_traffic() && chosen->asked)) {
    return world_.ledger.found("picks within the pool",
                               fmt::format("slot {} was picked", note.decision.endpoint.slot));
  }
  const EngineHost& engine = engine_of(*chosen);
  // Whom its proxy reaches may serve, though its probes fail.
  if (engine.reachable(wire()) || engine.reachable(proxy_wire())) return;
  const Time unreachable =
      std::max(engine.unreachable_since(wire()), engine.unreachable_since(proxy_wire()));
  const Time since = std::max({unreachable, born_, world_.loop.running_since()}) + kFindsOut;
  if (now() > since) {
    world_.ledger.found("no picks of the dead",
                        fmt::format("engine {} was picked {:.3f} s after it was out of reach",
                                    engine.number(), to_seconds(now() - unreachable)));
  }
}

std::size_t RouterNode::serving_beside(const model::Endpoint& endpoint) const {
  const auto others = std::ranges::count_if(pool_->endpoints, [&](const model::Endpoint& other) {
    return !(other.ref == endpoint.ref) && other.takes_traffic();
  });
  return static_cast<std::size_t>(others);
}

void RouterNode::count_failure(const model::Observation& observation) {
  if (observation.kind == model::Observation::Kind::kSuccess) {
    failed_in_row_[observation.endpoint.slot] = 0;
  } else if (observation.failure != model::UpstreamFailure::kStaleConnection) {
    ++failed_in_row_[observation.endpoint.slot];
  }
}

// A client that makes requests fail must not empty the pool: that fewer than half of it serve is a
// reason to keep who fails.
void RouterNode::check_cast_out() {
  for (const model::Endpoint& endpoint : pool_->endpoints) {
    std::uint32_t& failed = failed_in_row_[endpoint.ref.slot];
    const bool counts = endpoint.health == model::Health::kHealthy &&
                        2 * serving_beside(endpoint) >= pool_->endpoints.size();
    if (!counts) failed = 0;
    if (failed < config_.fleet.health.unhealthy_after) continue;
    world_.ledger.found(
        "who fails is cast out",
        fmt::format("{} is healthy after {} failed requests in a row", endpoint.name, failed));
  }
}

// What other routers saw of an engine is nothing to this one. Without a proxy nothing fails there.
void RouterNode::check_used() {
  for (const model::Endpoint& endpoint : pool_->endpoints) {
    const EngineHost& engine = engine_of(endpoint);
    const Time since = std::max({engine.serves_since(wire()), engine.serves_since(proxy_wire()),
                                 joined_[endpoint.ref.slot], born_, world_.loop.running_since()});
    if (since >= now()) continue;
    const Duration served = now() - since;
    const bool fully = endpoint.health == model::Health::kHealthy && !endpoint.models.empty();
    if (served <= kUsedAgain || (endpoint.takes_traffic() && (fully || served <= kServesFully))) {
      continue;
    }
    world_.ledger.found("who is within reach is used",
                        fmt::format("{} is {} after {:.3f} s without a failure", endpoint.name,
                                    model::to_string(endpoint.health), to_seconds(served)));
  }
}

// Of an engine that nobody had asked before, nothing can tell that it is another process now.
void RouterNode::note_told(std::uint32_t slot, double started_at) {
  const std::uint32_t life = EngineHost::life_of(started_at);
  const bool first = told_lives_.insert_or_assign(slot, life).second;
  const auto history = history_lives_.find(slot);
  if (first && history != history_lives_.end()) history->second = life;
}

void RouterNode::check_histories() {
  for (const auto& [slot, life] : history_lives_) {
    const auto told = told_lives_.find(slot);
    if (told == told_lives_.end() || life >= told->second || history_.held_blocks(slot) == 0) {
      continue;
    }
    world_.ledger.found("no history of a lost cache",
                        fmt::format("slot {}: {} blocks, some of them sent to process {}, which "
                                    "has told that it is process {}",
                                    slot, history_.held_blocks(slot), life, told->second));
  }
}

void RouterNode::check_tables(std::size_t calls) {
  for (const auto& [slot, shares] : held_) {
    const fleet::InFlight row = inflight_.read(slot);
    const bool negative = row.requests < 0 || row.uncached_tokens < 0 || row.unstarted < 0 ||
                          row.context_tokens < 0 || row.unstarted > row.requests;
    if (!negative && row.requests == shares) continue;
    world_.ledger.found(
        "in-flight", fmt::format("slot {}: {} requests, {} unstarted, {} tokens; {} are held", slot,
                                 row.requests, row.unstarted, row.uncached_tokens, shares));
  }
  const auto counted = static_cast<int>(key_usage_->figures().running);
  if (counted != running_) {
    world_.ledger.found(
        "grants", fmt::format("{} requests run for the key, {} are counted", running_, counted));
  }
  if (picker_.live() > calls || !outbox_.empty()) {
    world_.ledger.found("bounded queues", fmt::format("the picker has {} requests, {} are open",
                                                      picker_.live(), calls));
  }
}

void RouterNode::check_healed(std::span<const Prompt> prompts) {
  for (const model::Endpoint& endpoint : pool_->endpoints) {
    if (endpoint.health == model::Health::kHealthy && !endpoint.models.empty()) continue;
    world_.ledger.found("recovery", fmt::format("{} is {} long after the last fault", endpoint.name,
                                                model::to_string(endpoint.health)));
  }
  check_replicas();
  saving_.reset();
  knowledge_.check_healed(prompts);
}

void RouterNode::check_idle() {
  const fleet::InFlight left = inflight_.total();
  if (left.requests != 0 || left.uncached_tokens != 0 || left.unstarted != 0 ||
      left.context_tokens != 0) {
    world_.ledger.found("in-flight", fmt::format("{} requests and {} tokens are left at the end",
                                                 left.requests, left.uncached_tokens));
  }
}

}  // namespace fairlead::sim
