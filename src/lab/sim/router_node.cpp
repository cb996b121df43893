// SPDX-License-Identifier: Apache-2.0
// The router's control: what it asks engines, and what it makes of the answers. router_checks.cpp
// has the checkers.
#include "lab/sim/router_node.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace fairlead::sim {
namespace {

constexpr Duration kTickMin = std::chrono::milliseconds(5);
constexpr Duration kTickMax = std::chrono::milliseconds(50);
constexpr std::uint64_t kHistoryBytes = 64 * 1024;
constexpr std::uint16_t kFirstPort = 8000;
// Of an answer to a probe or a scrape by a healthy engine.
constexpr Duration kAnswerTime = std::chrono::milliseconds(1);

}  // namespace

config::EndpointSetting member_of(std::uint32_t engine) {
  config::EndpointSetting setting;
  setting.name = "e" + std::to_string(engine);
  setting.address = {"10.0.0.1", static_cast<std::uint16_t>(kFirstPort + engine)};
  return setting;
}

RouterNode::RouterNode(const Surroundings& world, const RouterConfig& config,
                       const std::vector<config::EndpointSetting>& members, std::uint64_t seed)
    : world_(world),
      config_(config),
      history_(config.prefix.block_bytes, kHistoryBytes),
      knowledge_(wire(), world.loop, world.agenda, world.ledger, world.blocks),
      fleet_(config.fleet, config.prefix, inflight_, Random(mix64(seed))),
      picker_(ports(), config.picking, seed),
      born_(world.agenda.now()) {
  restore();
  join_replicas();
  if (world.disk->every > Duration{}) save_later();
  set_members(members);
}

RouterNode::~RouterNode() { leave_replicas(); }

picker::Ports RouterNode::ports() {
  picker::Ports ports{{inflight_, load_, placements_, history_}, *this, *this, this};
  ports.shared.told = &knowledge_.rows();
  ports.shared.speeds = &speeds_;
  ports.shared.seen = &seen_blocks_;
  ports.expected = &knowledge_;
  return ports;
}

exchange::KeySettings RouterNode::key_settings() const {
  return {.process_seed = kKeySeed,
          .block_bytes = config_.prefix.block_bytes,
          .tokens = {.keys = &token_keys_, .block_tokens = &block_tokens_}};
}

access::Grant RouterNode::admit(std::uint64_t prompt_tokens) {
  return key_usage_->admit(config_.key, prompt_tokens, now());
}

EngineHost& RouterNode::engine_of(const model::Endpoint& endpoint) const {
  return *world_.engines[endpoint.port - kFirstPort];
}

void RouterNode::reload(const RouterConfig& config) {
  config_ = config;
  fleet_.reconfigure(config.fleet, config.prefix, now());
  picker_.set_limits(config.picking);
  tick();
}

void RouterNode::set_members(const std::vector<config::EndpointSetting>& members) {
  const auto set = fleet_.set_members(members, now());
  FAIRLEAD_ASSERT(set.has_value());
  tick();
}

void RouterNode::tick() {
  for (const model::Observation& observation : std::exchange(seen_, {})) {
    count_failure(observation);
    fleet_.observe(observation, now());
  }
  due_.clear();
  fleet_.tick(now(), due_);
  effects_.clear();
  fleet_.take_effects(effects_);
  for (const fleet::Effect& effect : effects_) apply(effect);
  check_histories();
  if (fleet_.take_changed()) publish();
  check_cast_out();
  check_used();
  for (const fleet::Work& work : due_) start(work);
  knowledge_.tick();
  save_slice();
  arm_tick();
}

void RouterNode::arm_tick() {
  const Time at = std::clamp(fleet_.next_tick(), now() + kTickMin, now() + kTickMax);
  world_.loop.after(at - now(), [this, mine = ++ticks_armed_] {
    if (mine == ticks_armed_) tick();
  });
}

void RouterNode::record(std::uint32_t slot, std::span<const std::uint64_t> keys) {
  history_.record(slot, keys);
  const model::Endpoint* const endpoint = pool_->find(slot);
  if (endpoint == nullptr) return;
  history_lives_.try_emplace(slot, engine_of(*endpoint).lives());
  tell_placement(*endpoint, keys);
}

void RouterNode::reset_slot(std::uint32_t slot) {
  history_.forget(slot);
  history_lives_.erase(slot);
  told_lives_.erase(slot);
  history_.set_budget(slot, kHistoryBytes);
  placements_.forget(slot);
  load_.write(slot, {});
  traffic_.reset(slot);
  speeds_.forget(slot);
}

void RouterNode::apply(const fleet::Effect& effect) {
  const std::uint32_t slot = effect.endpoint.slot;
  switch (effect.kind) {
    case fleet::Effect::Kind::kJoin:
      if (inflight_.in_use(slot)) {
        world_.ledger.found("slots rest", effect.name + " joins where requests are in flight");
      }
      return reset_slot(slot);
    case fleet::Effect::Kind::kRetire:
      return reset_slot(slot);
    case fleet::Effect::Kind::kForget:
      history_.forget(slot);
      history_lives_.erase(slot);
      return placements_.forget(slot);
    case fleet::Effect::Kind::kSetBudget:
      return history_.set_budget(slot, effect.bytes);
    case fleet::Effect::Kind::kStaleLoad:
      return load_.mark_stale(slot);
    case fleet::Effect::Kind::kTrouble:
      return;
  }
}

void RouterNode::publish() {
  const auto before =
      std::exchange(pool_, std::make_shared<const model::PoolSnapshot>(fleet_.snapshot()));
  for (const model::Endpoint& endpoint : pool_->endpoints) {
    const model::Endpoint* const known = before->find(endpoint.ref.slot);
    if (known != nullptr && known->ref == endpoint.ref) continue;
    joined_[endpoint.ref.slot] = now();
    resume(endpoint);
  }
  knowledge_.set_pool(*pool_, [this](const model::Endpoint& endpoint) -> EngineHost& {
    return engine_of(endpoint);
  });
}

void RouterNode::start(const fleet::Work& work) {
  const model::Endpoint* const endpoint = pool_->find(work.endpoint.slot);
  if (endpoint == nullptr || !(endpoint->ref == work.endpoint)) return;
  EngineHost& engine = engine_of(*endpoint);
  switch (work.kind) {
    case fleet::WorkKind::kProbe:
      return probe(work.endpoint, engine);
    case fleet::WorkKind::kScrape:
      return scrape(work.endpoint, engine);
    case fleet::WorkKind::kModels:
      return list_models(work.endpoint, engine);
    case fleet::WorkKind::kResolve:
      return;  // All are addresses.
  }
}

void RouterNode::probe(model::EndpointRef ref, EngineHost& engine) {
  const auto open = std::make_shared<bool>(true);  // Until the first of answer and time-out.
  const auto tell = [this, ref, open](fleet::ProbeResult result) {
    if (std::exchange(*open, false)) fleet_.on_probe(ref, result, now());
  };
  engine.ask(wire(), kAnswerTime, world_.loop.wrap([tell] { tell(fleet::ProbeResult::kGood); }),
             world_.loop.wrap([tell] { tell(fleet::ProbeResult::kBad); }));
  world_.loop.after(config_.fleet.health.timeout, [tell] { tell(fleet::ProbeResult::kBad); });
}

void RouterNode::scrape(model::EndpointRef ref, EngineHost& engine) {
  if (!scraping_.insert(ref.slot).second) return;
  fleet_.on_scrape_asked(ref);
  const auto open = std::make_shared<bool>(true);
  const auto failed = [this, ref, open] {
    if (!std::exchange(*open, false)) return;
    scraping_.erase(ref.slot);
    fleet_.on_scrape_failed(ref, now());
  };
  const auto answered = [this, ref, open](const codec::EngineMetrics& metrics) {
    if (!std::exchange(*open, false)) return;
    scraping_.erase(ref.slot);
    fleet_.on_scrape(ref, metrics, load_, now());
    note_told(ref.slot, *metrics.process_start_time);
  };
  // What is told is how it was when the engine wrote it down.
  const auto write = [this, &engine, answered] {
    const Duration late = engine.metrics_delay();
    world_.loop.after(late, [answered, metrics = engine.metrics()] { answered(metrics); });
  };
  engine.ask(wire(), kAnswerTime, world_.loop.wrap(write), world_.loop.wrap(failed));
  world_.loop.after(std::chrono::seconds(1), failed);
}

void RouterNode::list_models(model::EndpointRef ref, EngineHost& engine) {
  const auto tell = [this, ref] {
    codec::ModelCard card;
    card.id = "m";
    fleet_.on_models(ref, {card});
  };
  engine.ask(wire(), kAnswerTime, world_.loop.wrap(tell), [] {});
}

}  // namespace fairlead::sim
