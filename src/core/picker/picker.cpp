// SPDX-License-Identifier: Apache-2.0
#include "core/picker/picker.h"

#include <algorithm>

#include "base/assert.h"
#include "base/mutant.h"

namespace fairlead::picker {
namespace {

using model::UpstreamFailure;

// How soon a refused client may come back. An ejected endpoint is probed about once a second.
constexpr Duration kRetryAfter = std::chrono::seconds(1);

bool worth_another_try(UpstreamFailure failure) {
  return failure != UpstreamFailure::kResetMidBody && failure != UpstreamFailure::kResponseTimeout;
}

model::ReplyReason reason_of(UpstreamFailure failure) {
  return failure == UpstreamFailure::kConnectTimeout || failure == UpstreamFailure::kResponseTimeout
             ? model::ReplyReason::kUpstreamTimeout
             : model::ReplyReason::kUpstreamFailed;
}

}  // namespace

std::string_view to_string(WaitEnd end) {
  switch (end) {
    case WaitEnd::kNone:
      return "none";
    case WaitEnd::kRoom:
      return "room";
    case WaitEnd::kPatience:
      return "patience";
    case WaitEnd::kFull:
      return "full";
  }
  return "unknown";
}

Picker::Picker(Ports ports, Limits limits, std::uint64_t seed)
    : ports_(ports),
      limits_(limits),
      budget_(limits.retry_ratio, limits.retries_per_second),
      random_(seed),
      builder_(ports.shared),
      runner_(ports.watch) {
  FAIRLEAD_ASSERT(limits.max_attempts >= 1 && limits.max_attempts <= kMaxAttempts);
  band_.set_limits(limits.waiting);
}

void Picker::set_limits(const Limits& limits) {
  FAIRLEAD_ASSERT(limits.max_attempts >= 1 && limits.max_attempts <= kMaxAttempts);
  const bool budget = limits.retry_ratio != limits_.retry_ratio ||
                      limits.retries_per_second != limits_.retries_per_second;
  limits_ = limits;
  band_.set_limits(limits.waiting);
  if (budget) budget_ = RetryBudget(limits.retry_ratio, limits.retries_per_second);
}

Picker::State& Picker::state(RequestId id) {
  FAIRLEAD_ASSERT(id.index < states_.size());
  State& found = states_[id.index];
  FAIRLEAD_ASSERT(found.live && found.generation == id.generation);
  return found;
}

const Picker::State& Picker::state(RequestId id) const {
  return const_cast<Picker*>(this)->state(id);
}

const Decision& Picker::decision(RequestId id) const { return state(id).decision; }

Rated Picker::rated(RequestId id) const {
  FAIRLEAD_ASSERT(id == decided_);
  return {builder_.table(), runner_.rows(), runner_.totals()};
}

RequestId Picker::allocate() {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(states_.size()));
    states_.emplace_back();
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  State& fresh = states_[index];
  fresh.live = true;
  fresh.decision = {};
  fresh.sent.reset();
  return {index, ++fresh.generation};
}

RequestId Picker::on_request(const model::InferenceRequest& request,
                             const model::PoolSnapshot& pool, const scheduling::Profile& profile,
                             Time now, Outbox& outbox) {
  ++counters_.requests;
  budget_.on_request(now);
  const RequestId id = allocate();
  if (!request.model.empty() && pool.any_model_known() && !pool.knows_model(request.model)) {
    reply(id, model::ReplyReason::kUnknownModel, outbox);
  } else if (band_.size() == 0 || !stand_in_line(id, now, outbox)) {
    decide(id, request, pool, profile, now, outbox);
  }
  return id;
}

void Picker::decide(RequestId id, const model::InferenceRequest& request,
                    const model::PoolSnapshot& pool, const scheduling::Profile& profile, Time now,
                    Outbox& outbox) {
  State& mine = state(id);
  Decision& decision = mine.decision;
  decided_ = id;
  WaitEnd wait_end = band_.waits(id.index) ? WaitEnd::kRoom : WaitEnd::kNone;
  const auto& table =
      builder_.build(request, pool, masked_until_, std::span(mine.tried, decision.attempts), now,
                     random_, profile.reads);
  if (decision.attempts == 0 && table.size() > 0 && !profile.admitters.empty()) {
    const auto admission = profile.admit(request, table, random_, ports_.watch);
    if (admission == scheduling::Admission::kSaturated) {
      return refuse(id, request, profile, random_, model::ReplyReason::kSaturated, now, outbox);
    }
    if (admission == scheduling::Admission::kLater) {
      wait_end = wait(id, now, outbox);
      if (wait_end == WaitEnd::kNone) return;
    }
  }
  const Random chance = random_;
  scheduling::Choice choice;
  if (table.size() > 0) {
    scheduling::DecisionContext context{random_, ports_.shared.ledger};
    choice = runner_.decide(profile, request, table, context);
  }
  if (choice.row == scheduling::Choice::kNone) {
    const auto reason = table.size() > 0        ? model::ReplyReason::kFilteredOut
                        : decision.attempts > 0 ? model::ReplyReason::kUpstreamFailed
                                                : model::ReplyReason::kNoEndpoint;
    return refuse(id, request, profile, chance, reason, now, outbox);
  }
  if (request.only_if_cached && !(table.cached_tokens[choice.row] > 0)) {
    return refuse(id, request, profile, chance, model::ReplyReason::kNotCached, now, outbox);
  }
  const model::EndpointRef endpoint = table.endpoint[choice.row]->ref;
  if (builder_.cold()) ports_.shared.ledger.note_cold(endpoint.slot);
  take_share(mine, endpoint, table.own_uncached_tokens[choice.row], request, profile);
  mine.tried[decision.attempts] = endpoint.slot;
  mine.computed = table.own_uncached_tokens[choice.row];
  // A second try is another asking for nothing.
  if (decision.attempts == 0) builder_.learn(request, choice.row, profile.reads);
  if (ports_.media != nullptr && profile.reads.has(scheduling::Column::kMediaCached)) {
    for (const model::MediaItem& item : request.media) {
      ports_.media->record(endpoint.slot, std::span(&item.hash, 1));
    }
  }
  decision = {endpoint,
              request.holder == endpoint ? scheduling::Reason::kHolder : choice.reason,
              choice.total,
              choice.runner_up,
              static_cast<std::uint32_t>(choice.rows_left),
              request.prompt_tokens,
              static_cast<std::uint64_t>(table.cached_tokens[choice.row]),
              decision.attempts + 1,
              wait_end == WaitEnd::kRoom || wait_end == WaitEnd::kPatience
                  ? band_.waited(id.index, now)
                  : decision.waited,
              wait_end == WaitEnd::kNone ? decision.wait_end : wait_end};
  if (profile.reads.has(scheduling::Column::kMediaCached)) {
    decision.media = static_cast<std::uint32_t>(request.media.size());
    decision.media_cached = static_cast<std::uint32_t>(table.media_items[choice.row]);
  }
  for (const std::uint32_t row : choice.ranking.fallbacks()) {
    decision.fallbacks[decision.fallback_count++] = table.endpoint[row]->ref;
  }
  note(request, profile, chance, decision, model::ReplyReason::kNone, now);
  outbox.push_back({id, Action::Kind::kForward, endpoint, model::ReplyReason::kNone, {}});
}

// Nobody has room. kNone: it waits from here on, or still; otherwise why it does not.
WaitEnd Picker::wait(RequestId id, Time now, Outbox& outbox) {
  if (band_.waits(id.index)) return band_.due(id.index, now) ? WaitEnd::kPatience : WaitEnd::kNone;
  return stand_in_line(id, now, outbox) ? WaitEnd::kNone : WaitEnd::kFull;
}

bool Picker::stand_in_line(RequestId id, Time now, Outbox& outbox) {
  if (!band_.offer(id.index, now)) return false;
  outbox.push_back({id, Action::Kind::kWait, {}, model::ReplyReason::kNone, {}});
  return true;
}

void Picker::on_tick(Outbox& outbox) const {
  const std::optional<std::uint32_t> first = band_.first();
  if (!first) return;
  const RequestId id{*first, states_[*first].generation};
  outbox.push_back({id, Action::Kind::kTurn, {}, model::ReplyReason::kNone, {}});
}

void Picker::on_turn(RequestId id, const model::InferenceRequest& request,
                     const model::PoolSnapshot& pool, const scheduling::Profile& profile, Time now,
                     Outbox& outbox) {
  FAIRLEAD_ASSERT(band_.waits(id.index));
  const std::size_t before = outbox.size();
  decide(id, request, pool, profile, now, outbox);
  if (outbox.size() == before) return;
  band_.leave(id.index);
  on_tick(outbox);
}

// What only some policies read is counted for those only.
void Picker::take_share(State& mine, model::EndpointRef endpoint, float uncached_tokens,
                        const model::InferenceRequest& request,
                        const scheduling::Profile& profile) {
  const auto uncached = static_cast<std::int64_t>(uncached_tokens);
  const bool has_context = profile.reads.has(scheduling::Column::kInFlightContext);
  mine.share =
      fleet::InFlightShare(ports_.shared.inflight, endpoint, uncached,
                           has_context ? static_cast<std::int64_t>(request.prompt_tokens) : 0);
  if (profile.reads.has(scheduling::Column::kPlacedTokens)) {
    ports_.shared.ledger.note_placed(endpoint.slot, static_cast<std::uint64_t>(uncached));
  }
}

// Nobody is chosen for a request that was read: that is a decision too.
void Picker::refuse(RequestId id, const model::InferenceRequest& request,
                    const scheduling::Profile& profile, const Random& chance,
                    model::ReplyReason reason, Time now, Outbox& outbox) {
  Decision none;
  none.prompt_tokens = request.prompt_tokens;
  none.attempts = state(id).decision.attempts + 1;
  note(request, profile, chance, none, reason, now);
  reply(id, reason, outbox);
}

void Picker::note(const model::InferenceRequest& request, const scheduling::Profile& profile,
                  const Random& chance, const Decision& decision, model::ReplyReason reply,
                  Time now) {
  if (ports_.decisions == nullptr) return;
  ports_.decisions->note(
      {request, profile, builder_.table(), builder_.excluded(), chance, decision, reply, now});
}

void Picker::reply(RequestId id, model::ReplyReason reason, Outbox& outbox) const {
  const Duration retry_after = model::http_status(reason) >= 429 ? kRetryAfter : Duration{};
  outbox.push_back({id, Action::Kind::kReply, {}, reason, retry_after});
}

void Picker::on_dispatched(RequestId id, const model::InferenceRequest& request, Time now) {
  State& mine = state(id);
  record(mine.decision.endpoint, request, now);
  mine.sent.reset();
  if (request.streaming == model::Streaming::kStreamed) mine.sent = now;
}

void Picker::record(model::EndpointRef endpoint, const model::InferenceRequest& request, Time now) {
  if (!request.keys.empty()) ports_.recorder.record(endpoint.slot, request.keys);
  if (!request.token_keys.empty() && ports_.expected != nullptr) {
    ports_.expected->expect(endpoint, request.token_keys, now);
  }
}

void Picker::on_first_token(RequestId id, std::optional<Time> generated) {
  State& mine = state(id);
  mine.share.first_token();
  if (mine.sent && generated && ports_.shared.speeds != nullptr) {
    ports_.shared.speeds->first_token(mine.decision.endpoint.slot, *mine.sent, mine.computed,
                                      *generated);
  }
  mine.sent.reset();
}

void Picker::on_served(RequestId id, model::EndpointRef endpoint,
                       const model::InferenceRequest& request, Time now) {
  State& mine = state(id);
  Decision& decision = mine.decision;
  if (decision.endpoint == endpoint) return;
  blame(decision.endpoint, UpstreamFailure::kResetBeforeResponse, now);
  for (std::uint32_t i = 0; i < decision.fallback_count; ++i) {
    if (decision.fallbacks[i] == endpoint) break;
    blame(decision.fallbacks[i], UpstreamFailure::kResetBeforeResponse, now);
  }
  mine.share.rebind(endpoint);
  mine.sent.reset();  // When it came there is not known.
  decision.endpoint = endpoint;
  record(endpoint, request, now);
}

void Picker::blame(model::EndpointRef endpoint, UpstreamFailure failure, Time now) {
  ports_.observations.observe({endpoint, model::Observation::Kind::kFailure, failure, now});
  mask(endpoint.slot, now + limits_.failure_mask);
}

void Picker::mask(std::uint32_t slot, Time until) {
  if (slot >= masked_until_.size()) masked_until_.resize(slot + 1);
  masked_until_[slot] = std::max(masked_until_[slot], until);
}

void Picker::on_upstream_failed(RequestId id, UpstreamFailure failure, Replay replay,
                                const model::InferenceRequest& request,
                                const model::PoolSnapshot& pool, const scheduling::Profile& profile,
                                Time now, Outbox& outbox) {
  State& mine = state(id);
  mine.share.release();
  // A pooled connection that died idle says nothing about the endpoint.
  if (failure != UpstreamFailure::kStaleConnection) blame(mine.decision.endpoint, failure, now);
  const bool untouched = replay == Replay::kPossible && worth_another_try(failure);
  if ((!untouched && !planted(Mutant::kRetryAfterByte)) ||
      mine.decision.attempts >= limits_.max_attempts) {
    reply(id, reason_of(failure), outbox);
    return;
  }
  if (!budget_.take(now)) {
    ++counters_.retry_budget_exhausted;
    reply(id, reason_of(failure), outbox);
    return;
  }
  const std::size_t before = outbox.size();
  decide(id, request, pool, profile, now, outbox);
  if (outbox.size() > before && outbox.back().kind == Action::Kind::kForward) {
    ++counters_.retries;
  } else {
    budget_.refund();
  }
}

void Picker::on_end(RequestId id, model::Outcome outcome, Time now) {
  State& mine = state(id);
  if (outcome == model::Outcome::kCompleted && mine.share.held()) {
    ports_.observations.observe({mine.decision.endpoint, model::Observation::Kind::kSuccess,
                                 UpstreamFailure::kConnectRefused, now});
  }
  band_.leave(id.index);
  mine.share.release();
  mine.live = false;
  free_.push_back(id.index);
}

}  // namespace fairlead::picker
