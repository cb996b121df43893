// SPDX-License-Identifier: Apache-2.0
#include "lab/world/replica.h"

#include <algorithm>

#include "base/assert.h"

namespace fairlead::world {
namespace {

constexpr std::uint32_t kBytesPerToken = 4;

// Whoever listens asks nobody for a guess, since every engine is believed, and so needs none.
std::uint64_t history_bytes(const WorldSettings& settings) {
  if (settings.events) return 0;
  if (settings.history_bytes > 0) return settings.history_bytes;
  return static_cast<std::uint64_t>(settings.engine.kv_tokens) * kBytesPerToken;
}

}  // namespace

Replica::Replica(const PreparedWorkload& prepared, const scheduling::Profile& policy,
                 const WorldSettings& settings, const model::PoolSnapshot& pool, std::uint64_t seed)
    : prepared_(prepared),
      policy_(policy),
      settings_(settings),
      pool_(pool),
      others_(settings.engines),
      history_(std::size_t{prepared.router_block_tokens()} * kBytesPerToken,
               history_bytes(settings)),
      told_(settings.events ? std::make_unique<ToldCaches>(*settings.events, settings.engines,
                                                           prepared.engine_block_tokens())
                            : nullptr),
      picker_(ports(), {.waiting = settings.waiting}, seed) {}

picker::Ports Replica::ports() {
  picker::Ports ports{{inflight_, load_, ledger_, history_}, recorder_, observations_};
  ports.shared.speeds = &speeds_;
  ports.shared.seen = &seen_;
  if (told_) {
    ports.shared.told = &told_->knowledge();
    ports.expected = told_.get();
  }
  return ports;
}

model::InferenceRequest Replica::facts(std::uint32_t request) const {
  const load::PlannedRequest& planned = prepared_.workload().requests[request];
  const PromptKeys& keys = prepared_.keys(request);
  model::InferenceRequest facts;
  facts.model = settings_.engine.model;
  facts.keys = keys.router;
  facts.prompt_tokens = planned.prompt_tokens;
  facts.block_tokens = prepared_.router_block_tokens();
  facts.max_output_tokens = planned.output_tokens;
  facts.streaming = model::Streaming::kStreamed;
  if (told_) {
    // The engine's blocks may go on into an answer that is known beforehand.
    const std::uint32_t block = prepared_.engine_block_tokens();
    facts.token_keys = std::span(keys.token).first(planned.prompt_tokens / block);
    facts.token_block = block;
  }
  return facts;
}

picker::Action Replica::send(std::uint32_t request, Time now) {
  const model::InferenceRequest asked = facts(request);
  if (told_) told_->catch_up(now);
  outbox_.clear();
  const picker::RequestId id = picker_.on_request(asked, pool_, policy_, now, outbox_);
  FAIRLEAD_ASSERT(outbox_.size() == 1);
  if (id.index >= request_of_.size()) request_of_.resize(id.index + 1);
  request_of_[id.index] = request;
  dispatch(outbox_[0], asked, now);
  return outbox_[0];
}

void Replica::take_load(std::uint32_t engine, const EngineFigures& figures, Time now) {
  const codec::EngineMetrics& metrics = figures.metrics;
  const fleet::OthersLoad others =
      others_[engine].told(metrics, figures.own, inflight_.sent(engine), now);
  others_most_ = std::max(others_most_, others.tokens + others.decoding);
  const auto kv_tokens = static_cast<float>(settings_.engine.kv_tokens);
  load_.write(engine, fleet::load_row(metrics, kv_tokens, others, now));
}

std::span<const Replica::Bound> Replica::take_turns(Time now) {
  if (told_) told_->catch_up(now);
  outbox_.clear();
  bound_.clear();
  picker_.on_tick(outbox_);
  for (std::size_t i = 0; i < outbox_.size(); ++i) {
    const picker::Action action = outbox_[i];
    const std::uint32_t request = request_of_[action.request.index];
    const model::InferenceRequest asked = facts(request);
    if (action.kind == picker::Action::Kind::kTurn) {
      picker_.on_turn(action.request, asked, pool_, policy_, now, outbox_);
      continue;
    }
    dispatch(action, asked, now);
    bound_.push_back({request, action});
  }
  return bound_;
}

void Replica::dispatch(const picker::Action& action, const model::InferenceRequest& request,
                       Time now) {
  if (action.kind != picker::Action::Kind::kForward) return;
  picker_.on_dispatched(action.request, request, now);
}

void Replica::first_token(picker::RequestId id, std::uint64_t cached, Time now) {
  const std::uint64_t predicted = picker_.decision(id).cached_tokens;
  predicted_tokens_ += predicted;
  misjudged_tokens_ += std::max(predicted, cached) - std::min(predicted, cached);
  picker_.on_first_token(id, now);
}

RouterResult Replica::result() const {
  const fleet::InFlight left = inflight_.total();
  FAIRLEAD_ASSERT(left.uncached_tokens == 0 && left.unstarted == 0);
  return {picker_.counters().requests,
          static_cast<std::uint64_t>(left.requests) + picker_.live(),
          told_ ? told_->figures().stored : 0,
          predicted_tokens_,
          misjudged_tokens_,
          others_most_};
}

}  // namespace fairlead::world
