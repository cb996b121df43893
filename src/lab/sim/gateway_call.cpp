// SPDX-License-Identifier: Apache-2.0
#include "lab/sim/gateway_call.h"

#include <algorithm>
#include <utility>

#include "core/codec/http1_response.h"

namespace fairlead::sim {
namespace {

using model::Outcome;
using model::UpstreamFailure;

}  // namespace

void GatewayCall::begin() {
  const auto status = facts_.read(exchange::Route::kCompletions, {}, prompt_.body,
                                  node_.key_settings(), node_.desk());
  const auto keys = facts_.request().token_keys;
  if (!status.ok() || !std::ranges::equal(keys, prompt_.token_keys)) {
    ledger().found("keys", "the router reads other tokens than the engine");
  }
  access::Grant grant = node_.admit(facts_.request().prompt_tokens);
  if (grant.refusal != access::Refusal::kNone) {
    over_ = true;
    return ledger().end(client_, ClientEnd::kRefused);
  }
  share_ = std::move(grant.share);
  node_.admitted(1);
  if (conversation_ != 0) {
    const auto holder = node_.holders().find(conversation_, node_.now());
    if (holder) facts_.set_holder(*holder);
  }
  node_.world().loop.after(limits().total, guarded([this] { on_total_timeout(); }));
  id_ = node_.picker().on_request(facts_.request(), node_.pool(), *node_.config().profile,
                                  node_.now(), node_.outbox());
  has_id_ = true;
  act();
}

void GatewayCall::act() {
  const picker::Action action = node_.outbox().back();
  node_.outbox().clear();
  if (action.kind == picker::Action::Kind::kForward) return forward(action.endpoint);
  give_up();
}

// The client gets an error, or what is left of an answer breaks off.
void GatewayCall::give_up() {
  conclude(client_has_bytes() ? ClientEnd::kBroken : ClientEnd::kRefused, Outcome::kUpstreamFailed);
}

void GatewayCall::forward(model::EndpointRef endpoint) {
  const picker::Decision& decision = node_.picker().decision(id_);
  node_.traffic().on_decision(endpoint.slot, decision.prompt_tokens, decision.cached_tokens);
  holds_ = endpoint;
  node_.hold(endpoint, 1);
  status_ = 0;
  failed_try_held_ = first_token_noted_ = false;
  engine_ = &node_.engine_of(*node_.pool().find(endpoint.slot));
  flow_ = ledger().begin_flow(client_);
  engine_->open(*flow_, prompt_, *this, {node_.wire(), [&loop = node_.world().loop](Task task) {
                                           return loop.wrap(std::move(task));
                                         }});
  wait(limits().connect, &GatewayCall::on_connect_timeout);
}

void GatewayCall::close_flow() {
  if (flow_) engine_->close(*std::exchange(flow_, std::nullopt));
}

void GatewayCall::give_up_flow() {
  if (flow_) engine_->give_up(*std::exchange(flow_, std::nullopt));
}

void GatewayCall::wait(Duration length, void (GatewayCall::*then)()) {
  node_.world().loop.after(length, guarded([this, then, mine = ++waits_] {
                             if (mine == waits_ && !over_) (this->*then)();
                           }));
}

void GatewayCall::on_connected() {
  node_.picker().on_dispatched(id_, facts_.request(), node_.now());
  wait(limits().first_byte, &GatewayCall::on_reply_timeout);
}

void GatewayCall::on_head(int status) {
  status_ = status;
  codec::Http1ResponseHead head;
  head.status = status;
  head.headers.push_back(
      {"content-type", status == 200 ? "text/event-stream" : "application/json"});
  watch_.begin(head, exchange::Route::kCompletions);
  failed_try_held_ = exchange::is_failed_try(status);
  if (!failed_try_held_ && watch_.form() != exchange::ResponseForm::kEventStream) {
    note_first_token();
  }
  wait(limits().idle, &GatewayCall::on_idle_timeout);
}

void GatewayCall::on_piece(std::string_view bytes) {
  wait(limits().idle, &GatewayCall::on_idle_timeout);
  if (failed_try_held_) return;  // An error that may not have to be shown.
  watch_.feed(bytes, {&bytes, 1});
  if (!first_token_noted_ && watch_.first_token()) note_first_token();
  ledger().receive(client_, bytes);
}

void GatewayCall::note_first_token() {
  first_token_noted_ = true;
  node_.picker().on_first_token(id_, status_ == 200 ? std::optional(node_.now()) : std::nullopt);
  if (status_ != 200 || conversation_ == 0) return;
  node_.holders().note(conversation_, node_.picker().decision(id_).endpoint, node_.now());
}

void GatewayCall::on_complete() {
  flow_.reset();
  if (failed_try_held_) return failed(UpstreamFailure::kServerError);
  const auto failure = exchange::failure_of_status(status_);
  conclude(failure ? ClientEnd::kRefused : ClientEnd::kComplete,
           failure ? Outcome::kUpstreamFailed : Outcome::kCompleted);
}

void GatewayCall::on_flow_failed(Failure failure) {
  flow_.reset();
  if (failure == Failure::kRefused) return failed(UpstreamFailure::kConnectRefused);
  failed(client_has_bytes() ? UpstreamFailure::kResetMidBody
                            : UpstreamFailure::kResetBeforeResponse);
}

void GatewayCall::on_connect_timeout() {
  give_up_flow();
  failed(UpstreamFailure::kConnectTimeout);
}

void GatewayCall::on_reply_timeout() {
  give_up_flow();
  failed(UpstreamFailure::kResponseTimeout);
}

void GatewayCall::on_idle_timeout() {
  give_up_flow();
  failed(client_has_bytes() ? UpstreamFailure::kResetMidBody : UpstreamFailure::kResponseTimeout);
}

void GatewayCall::on_total_timeout() {
  if (over_) return;
  give_up_flow();
  give_up();
}

void GatewayCall::failed(UpstreamFailure failure) {
  ++waits_;
  close_flow();
  const picker::Replay replay =
      exchange::replay_rule(client_saw(), prompt_.body.size(), limits().retry_buffer);
  let_go();
  node_.picker().on_upstream_failed(id_, failure, replay, facts_.request(), node_.pool(),
                                    *node_.config().profile, node_.now(), node_.outbox());
  act();
}

void GatewayCall::let_go() {
  if (holds_) node_.hold(*std::exchange(holds_, std::nullopt), -1);
}

void GatewayCall::conclude(ClientEnd end, Outcome outcome) {
  over_ = true;
  close_flow();
  const auto& usage = watch_.facts().usage;
  if (usage && status_ != 0) {
    ledger().tell_usage(client_, *usage);
    node_.traffic().on_usage(node_.picker().decision(id_).endpoint.slot,
                             usage->prompt_tokens.value_or(0), usage->cached_tokens.value_or(0),
                             usage->completion_tokens.value_or(0));
  }
  share_.settle({facts_.request().prompt_tokens,
                 usage ? usage->completion_tokens.value_or(0) : std::uint64_t{0}},
                node_.now());
  node_.admitted(-1);
  let_go();
  node_.picker().on_end(id_, outcome, node_.now());
  ledger().end(client_, end);
}

void GatewayCall::leave() {
  if (over_) return;
  conclude(ClientEnd::kLeft, Outcome::kClientGone);
}

void GatewayCall::cut_off() {
  if (over_) return;
  if (has_id_) return give_up();
  over_ = true;  // Nothing of it was read yet.
  ledger().end(client_, ClientEnd::kRefused);
}

void GatewayCall::lose() {
  if (over_) return;
  over_ = true;
  close_flow();
  ledger().end(client_, ClientEnd::kLost);
}

}  // namespace fairlead::sim
