// SPDX-License-Identifier: Apache-2.0
// The stream's port: what it is decided, and what is learnt of the answer.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/exchange/response_relay.h"
#include "lab/sim/envoy_call.h"

namespace fairlead::sim {

using model::Outcome;

void EnvoyCall::send(std::string_view head, std::string_view body) {
  node_.world().agenda.after(
      kWire, guarded([this, bytes = std::string(head).append(body)] { take(bytes); }));
}

void EnvoyCall::send_stored(std::string_view head, std::string_view body) {
  send(head, body);
  node_.world().loop.after(kWire, guarded([this] { stream_.on_drained(); }));
}

void EnvoyCall::finish(exchange::StreamStatus status, std::string_view message) {
  if (status != exchange::StreamStatus::kOk) {
    ledger().found("a proxy that keeps the rules is served", std::string(message));
  }
  node_.world().agenda.after(kWire, guarded([this] { stream_over_ = true; }));
}

void EnvoyCall::make_request_id(std::string& out) { out = fmt::format("r{}", client_); }

model::InferenceRequest EnvoyCall::inference(const exchange::ExtProcRequest& request) const {
  model::InferenceRequest inference = request.inference;
  inference.id = stream_.request_id();
  inference.holder = holder_;
  return inference;
}

void EnvoyCall::on_decide(const exchange::ExtProcRequest& request) {
  if (!std::ranges::equal(request.inference.token_keys, prompt_.token_keys)) {
    ledger().found("keys", "the router reads other tokens than the engine");
  }
  if (conversation_ != 0) holder_ = node_.holders().find(conversation_, node_.now());
  id_ = node_.picker().on_request(inference(request), node_.pool(), *node_.config().profile,
                                  node_.now(), node_.outbox());
  has_id_ = true;
  const picker::Action action = node_.outbox().back();
  node_.outbox().clear();
  if (action.kind == picker::Action::Kind::kReply) {
    return stream_.reply({action.reason, {}, {}}, action.retry_after);
  }
  const picker::Decision& decision = node_.picker().decision(id_);
  holds_ = decision.endpoint;
  node_.hold(decision.endpoint, 1);
  node_.traffic().on_decision(decision.endpoint.slot, decision.prompt_tokens,
                              decision.cached_tokens);
  std::string list;
  const auto add = [&](model::EndpointRef ref) {
    const model::Endpoint& endpoint = *node_.pool().find(ref.slot);
    exchange::append_endpoint(endpoint.dial(), endpoint.port, list);
  };
  add(decision.endpoint);
  for (std::uint32_t i = 0; i < decision.fallback_count; ++i) add(decision.fallbacks[i]);
  stream_.forward({.endpoints = list});
}

void EnvoyCall::on_dispatched() {
  node_.picker().on_dispatched(id_, inference(stream_.request()), node_.now());
}

void EnvoyCall::rebind(std::string_view endpoint) {
  for (const model::Endpoint& one : node_.pool().endpoints) {
    std::string name;
    exchange::append_endpoint(one.dial(), one.port, name);
    if (name != endpoint) continue;
    if (holds_ && !(*holds_ == one.ref)) {
      let_go();
      holds_ = one.ref;
      node_.hold(one.ref, 1);
    }
    return node_.picker().on_served(id_, one.ref, inference(stream_.request()), node_.now());
  }
}

void EnvoyCall::on_response_head(int status, std::string_view endpoint) {
  if (!has_id_) return;
  if (!endpoint.empty()) rebind(endpoint);
  const auto failure = exchange::failure_of_status(status);
  if (!failure || *failure == model::UpstreamFailure::kInternalError) return;
  let_go();
  node_.picker().on_upstream_failed(id_, *failure, picker::Replay::kImpossible,
                                    inference(stream_.request()), node_.pool(),
                                    *node_.config().profile, node_.now(), node_.outbox());
  // Nothing can be tried again here: the answer is the proxy's to give.
  if (node_.outbox().back().kind == picker::Action::Kind::kForward) {
    ledger().found("no retry behind a proxy", "the picker chose once more");
    holds_ = node_.outbox().back().endpoint;
    node_.hold(*holds_, 1);
  }
  node_.outbox().clear();
}

void EnvoyCall::on_first_token() {
  if (!has_id_) return;
  const bool good = stream_.response_status() == 200;
  node_.picker().on_first_token(id_, good ? std::optional(node_.now()) : std::nullopt);
  if (!good || conversation_ == 0) return;
  node_.holders().note(conversation_, node_.picker().decision(id_).endpoint, node_.now());
}

void EnvoyCall::on_usage(const codec::Usage& usage) {
  ledger().tell_usage(client_, usage);
  if (!has_id_) return;
  node_.traffic().on_usage(node_.picker().decision(id_).endpoint.slot,
                           usage.prompt_tokens.value_or(0), usage.cached_tokens.value_or(0),
                           usage.completion_tokens.value_or(0));
}

void EnvoyCall::let_go() {
  if (holds_) node_.hold(*std::exchange(holds_, std::nullopt), -1);
}

void EnvoyCall::on_end(Outcome outcome) {
  let_go();
  if (std::exchange(has_id_, false)) node_.picker().on_end(id_, outcome, node_.now());
}

}  // namespace fairlead::sim
