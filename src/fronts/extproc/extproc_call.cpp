// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/extproc_call.h"

#include <array>
#include <utility>

#include "base/assert.h"
#include "core/exchange/prefer.h"
#include "core/exchange/response_relay.h"
#include "core/exchange/session_token.h"

namespace fairlead::extproc {
namespace {

using model::Outcome;
using model::ReplyReason;

// As NGINX logs a client that left before its answer; never sent.
constexpr int kClientClosedRequest = 499;
// Whose request it is when nobody says, as llm-d has it.
constexpr std::string_view kDefaultFairnessId = "default-flow";

net::GrpcStatus grpc_status(exchange::StreamStatus status) {
  switch (status) {
    case exchange::StreamStatus::kOk:
      return net::GrpcStatus::kOk;
    case exchange::StreamStatus::kInvalidArgument:
      return net::GrpcStatus::kInvalidArgument;
    case exchange::StreamStatus::kUnimplemented:
      return net::GrpcStatus::kUnimplemented;
    case exchange::StreamStatus::kUnavailable:
      return net::GrpcStatus::kUnavailable;
  }
  return net::GrpcStatus::kUnknown;
}

}  // namespace

ExtProcCall::ExtProcCall(CallHost& host) : host_(host), stream_(host.shared(), *this) {}

void ExtProcCall::reset() {
  held_ = finished_ = has_id_ = forwarded_ = dispatch_due_ = response_noted_ = false;
  failure_.reset();
  decided_at_.reset();
  endpoint_.clear();
  trace_.clear();
  cells_ = nullptr;
  pool_.reset();
  holder_.reset();
  reply_reason_ = ReplyReason::kNone;
  first_token_at_.reset();
  response_bytes_ = 0;
  response_took_ = {};
  usage_.reset();
}

void ExtProcCall::begin(net::GrpcCall& call) {
  FAIRLEAD_ASSERT(call_ == nullptr);
  reset();
  call_ = &call;
  began_ = call.received_at();
  generation_ = host_.generation();
  settings_ = host_.stream_settings();
  host_.metrics().on_begin();
  host_.metrics().on_stream_begin();
  stream_.begin(*settings_);
}

void ExtProcCall::on_message(std::string_view message) {
  const Time began = forwarded_ ? host_.exact_now() : Time{};
  stream_.on_message(message);
  if (began != Time{} && stream_.response_status() != 0) {
    response_took_ += host_.exact_now() - began;
  }
  hold_when_full();
}

// Who does not take what is sent is not listened to.
void ExtProcCall::hold_when_full() {
  if (call_ == nullptr || held_ || call_->pending_bytes() <= kPendingBytesHigh) return;
  held_ = true;
  call_->hold();
}

void ExtProcCall::on_drained() {
  stream_.on_drained();
  if (std::exchange(held_, false)) call_->resume();
}

void ExtProcCall::on_done() { release(); }

void ExtProcCall::on_gone(net::GrpcGone) {
  if (!finished_) host_.metrics().on_stream_end(net::GrpcStatus::kCancelled, lasted());
  stream_.on_gone();
  release();
}

void ExtProcCall::release() {
  if (response_took_ > Duration{}) host_.metrics().on_response_took(response_took_);
  stream_.clear();
  call_ = nullptr;
  pool_.reset();
  generation_.reset();
  settings_.reset();
  host_.release(*this);
}

void ExtProcCall::send(std::string_view head, std::string_view body) {
  // A borrowed body would have to stay where it is.
  if (body.size() < net::kGrpcBorrowBytes) return call_->send(head, body);
  std::string& whole = host_.scratch();
  whole.assign(head).append(body);
  call_->send(whole);
}

void ExtProcCall::send_stored(std::string_view head, std::string_view body) {
  call_->send(head, body);
}

void ExtProcCall::finish(exchange::StreamStatus status, std::string_view message) {
  const net::GrpcStatus code = grpc_status(status);
  finished_ = true;
  host_.metrics().on_stream_end(code, lasted());
  call_->finish(code, message);
}

void ExtProcCall::restrict_to_subset(const exchange::SubsetHint& subset) {
  subset_given_ = subset.present() && !generation_->epp.ignores_subset;
  if (!subset_given_) return;
  subset_slots_.clear();
  for (const model::Endpoint& endpoint : pool_->endpoints) {
    if (subset.allows(endpoint.dial(), endpoint.port)) subset_slots_.push_back(endpoint.ref.slot);
  }
}

// The endpoint that made the answer which this request continues.
void ExtProcCall::find_holder(std::uint64_t previous_response) {
  const auto holder = host_.responses().find(previous_response, host_.loop().now());
  if (!holder) return host_.metrics().on_previous_response(router::Holder::kUnknown);
  const model::Endpoint* const endpoint = pool_->find(holder->slot);
  const bool there = endpoint != nullptr && endpoint->ref == *holder && endpoint->takes_traffic();
  host_.metrics().on_previous_response(there ? router::Holder::kFound : router::Holder::kGone);
  if (there) holder_ = *holder;
}

model::InferenceRequest ExtProcCall::inference(const exchange::ExtProcRequest& request) {
  model::InferenceRequest inference = request.inference;
  inference.id = stream_.request_id();
  inference.holder = holder_;
  inference.objective = request.controls.objective;
  inference.priority = priority_;
  inference.only_if_cached = prefers_cached_;
  inference.headers = headers_;
  if (subset_given_) inference.only_slots = subset_slots_;
  return inference;
}

EppCells& ExtProcCall::cells_of(const exchange::ExtProcRequest& request) const {
  const std::string_view fairness =
      request.controls.fairness_id.empty() ? kDefaultFairnessId : request.controls.fairness_id;
  // What nobody serves would only use up the labels of what somebody does.
  const bool served = !pool_->any_model_known() || request.inference.model.empty() ||
                      pool_->knows_model(request.inference.model);
  return host_.epp_metrics().cells({served ? request.client_model : kOtherLabel,
                                    served ? request.inference.model : kOtherLabel, fairness,
                                    priority_});
}

void ExtProcCall::on_decide(const exchange::ExtProcRequest& request) {
  headers_.clear();
  for (const codec::Http1Header& header : request.headers) {
    headers_.push_back({header.name, header.value});
  }
  pool_ = host_.pool_snapshot();
  begin_trace();
  priority_ = generation_->epp.priority_of(request.controls.objective);
  prefers_cached_ = exchange::prefers_if_available(request.headers);
  cells_ = &cells_of(request);
  cells_->on_begin(request.body_bytes);
  if (host_.overload().has(admission::OverloadAction::kShedRequests)) {
    host_.metrics().on_overload(admission::OverloadAction::kShedRequests);
    return stream_.reply({ReplyReason::kOverloaded, {}, {}});
  }
  restrict_to_subset(*request.subset);
  if (request.previous_response != 0) find_holder(request.previous_response);
  if (request.token_form && !request.body.empty()) return tokenize(request);
  pick(request);
}

// Where tokens do not come in time, the decision is made without them.
void ExtProcCall::tokenize(const exchange::ExtProcRequest& request) {
  tokenizing_ = host_.prompts().tokenize(request.inference.model, *request.token_form, request.body,
                                         [this](auto tokens) {
                                           tokenizing_.reset();
                                           if (!tokens.empty()) stream_.set_tokens(tokens);
                                           pick(stream_.request());
                                         });
}

void ExtProcCall::pick(const exchange::ExtProcRequest& request) {
  deciding_at_ = host_.exact_now();
  id_ = host_.picker().on_request(inference(request), *pool_, generation_->profile,
                                  host_.loop().now(), host_.actions().outbox());
  has_id_ = true;
  host_.actions().bind(id_, *this);
  host_.actions().run();
}

void ExtProcCall::on_action(const picker::Action& action) {
  if (action.kind == picker::Action::Kind::kReply) {
    host_.scheduler_metrics().on_refused(stream_.request().inference.model,
                                         host_.exact_now() - deciding_at_);
    return stream_.reply({action.reason, {}, {}}, action.retry_after);
  }
  FAIRLEAD_ASSERT(action.kind == picker::Action::Kind::kForward);  // Nobody waits here.
  forward(host_.picker().decision(id_));
  pool_.reset();
}

void ExtProcCall::forward(const picker::Decision& decision) {
  host_.metrics().on_decision(decision);
  host_.traffic().on_decision(decision.endpoint.slot, decision.prompt_tokens,
                              decision.cached_tokens);
  const auto add = [this](model::EndpointRef ref) {
    const model::Endpoint& endpoint = *pool_->find(ref.slot);
    exchange::append_endpoint(endpoint.dial(), endpoint.port, endpoints_);
  };
  endpoints_.clear();
  add(decision.endpoint);
  for (std::uint32_t i = 0; i < decision.fallback_count; ++i) add(decision.fallbacks[i]);
  const model::Endpoint& chosen = *pool_->find(decision.endpoint.slot);
  exchange::encode_session_token(chosen.name, session_token_);
  const Time decided = host_.exact_now();
  decided_at_ = decided;
  endpoint_ = chosen.name;
  host_.metrics().on_decided_after(decided - began_);
  host_.scheduler_metrics().on_placed(stream_.request().inference.model, chosen, decision,
                                      decided - deciding_at_);
  forwarded_ = true;
  cells_->on_dispatched();
  exchange::ExtProcTarget target{.endpoints = endpoints_, .session_token = session_token_};
  if (generation_->epp.tells_scores) target.scores = host_.scores().read(host_.picker().rated(id_));
  target.trace = trace_headers(chosen, decision);
  stream_.forward(target);
}

// Of what was refused before its decision, there is no model to count it under.
void ExtProcCall::on_reply(ReplyReason reason) {
  if (cells_ == nullptr) begin_trace();
  reply_reason_ = reason;
  host_.metrics().on_reply(reason);
  // Of a request that was refused before its decision no more is known.
  EppCells& cells =
      cells_ != nullptr ? *cells_ : host_.epp_metrics().cells({{}, {}, kDefaultFairnessId, 0});
  cells.on_error(error_code(reason));
}

void ExtProcCall::on_dispatched() {
  dispatch_due_ = true;
  host_.loop().at_turn_end(*this);
}

// The prompt is written down after the request has left, so that the write delays nobody's bytes.
void ExtProcCall::on_turn_end() {
  if (!std::exchange(dispatch_due_, false) || !has_id_) return;
  host_.picker().on_dispatched(id_, stream_.request().inference, host_.loop().now());
}

void ExtProcCall::rebind(std::string_view endpoint) {
  const auto served = host_.find_endpoint(endpoint);
  if (!served) return host_.metrics().on_unknown_server();
  if (*served == host_.picker().decision(id_).endpoint) return;
  host_.metrics().on_rebind();
  if (const auto pool = host_.pool_snapshot(); const auto* const now = pool->find(served->slot)) {
    endpoint_ = now->name;
    trace_.on_served(now->name, now->dial(), now->port);
  }
  on_turn_end();
  host_.picker().on_served(id_, *served, stream_.request().inference, host_.loop().now());
}

void ExtProcCall::count_failure(int status) {
  const auto failure = exchange::failure_of_status(status);
  if (!failure) return;
  failure_ = failure;
  trace_.end_try(host_.loop().now(), failure);
  host_.metrics().on_upstream_failure(*failure);
  // A 500 may be one prompt's fault: it is no evidence, or one client could empty the pool.
  if (*failure == model::UpstreamFailure::kInternalError) return;
  host_.picker().on_upstream_failed(
      id_, *failure, picker::Replay::kImpossible, inference(stream_.request()),
      *host_.pool_snapshot(), generation_->profile, host_.loop().now(), host_.actions().outbox());
  // With kImpossible the picker's answer is always to reply, which is Envoy's to do here.
  host_.actions().outbox().pop_back();
}

void ExtProcCall::on_response_head(int status, std::string_view endpoint) {
  if (!has_id_) return;
  if (!endpoint.empty()) rebind(endpoint);
  trace_.on_status(status);
  count_failure(status);
}

void ExtProcCall::on_first_token() {
  if (!has_id_) return;
  if (stream_.response_status() != 200) return host_.picker().on_first_token(id_, std::nullopt);
  const Time now = host_.loop().now();
  host_.picker().on_first_token(id_, now);
  first_token_at_ = last_piece_at_ = now;
  trace_.on_first_token(now);
  const model::Streaming streaming = stream_.request().inference.streaming;
  host_.metrics().on_first_token(streaming, now - began_);
  cells_->on_first_token(streaming, now - began_);
}

void ExtProcCall::on_progress(std::size_t response_bytes) {
  response_bytes_ += response_bytes;
  if (!has_id_) return;
  if (!response_noted_ && stream_.request().route == exchange::Route::kResponses) note_response();
  const Time now = host_.loop().now();
  const bool streamed = stream_.response().form() == exchange::ResponseForm::kEventStream;
  if (streamed) host_.loop().pacer().on_piece();
  if (!first_token_at_ || response_bytes == 0) return;
  if (streamed && now > last_piece_at_) cells_->on_token_gap(now - last_piece_at_);
  last_piece_at_ = now;
}

// Before the client sees the id, so that whatever continues this answer finds it.
void ExtProcCall::note_response() {
  const std::uint64_t answer = stream_.response().facts().answer_id;
  if (answer == 0 || stream_.response_status() != 200) return;
  response_noted_ = true;
  host_.responses().note(answer, host_.picker().decision(id_).endpoint, host_.loop().now());
}

void ExtProcCall::on_usage(const codec::Usage& usage) {
  usage_ = usage;
  host_.metrics().on_usage(usage);
  if (!has_id_) return;
  const model::EndpointRef endpoint = host_.picker().decision(id_).endpoint;
  if (usage.prompt_tokens) {
    host_.prompts().note_answer(endpoint, stream_.request().inference, *usage.prompt_tokens);
  }
  host_.traffic().on_usage(endpoint.slot, usage.prompt_tokens.value_or(0),
                           usage.cached_tokens.value_or(0), usage.completion_tokens.value_or(0));
}

std::span<const codec::MetadataNumber> ExtProcCall::on_last_piece(const codec::Usage& usage) {
  return host_.report(generation_->profile, usage);
}

// The mean over one streamed answer, from its first token to its end.
void ExtProcCall::note_token_interval(Time now) {
  if (stream_.response().form() != exchange::ResponseForm::kEventStream) return;
  const codec::ResponseFacts& seen = stream_.response().facts();
  if (!first_token_at_ || !seen.first_token) return;
  // Without usage, an event is a token.
  std::uint64_t tokens = seen.data_events;
  if (usage_) tokens = usage_->completion_tokens.value_or(tokens);
  if (tokens < 2) return;
  host_.metrics().on_token_interval(to_seconds(now - *first_token_at_) /
                                    static_cast<double>(tokens - 1));
}

void ExtProcCall::on_end(Outcome outcome) {
  const Time now = host_.loop().now();
  if (tokenizing_) host_.prompts().cancel(*std::exchange(tokenizing_, std::nullopt));
  on_turn_end();
  if (failure_ && outcome == Outcome::kCompleted) outcome = Outcome::kUpstreamFailed;
  const bool unseen = outcome == Outcome::kCompleted && stream_.response_status() == 0;
  if (unseen) outcome = Outcome::kHandedOver;
  int status = stream_.response_status();
  if (reply_reason_ != ReplyReason::kNone) status = model::http_status(reply_reason_);
  if (status == 0 && outcome == Outcome::kClientGone) status = kClientClosedRequest;
  host_.metrics().on_end(stream_.request().route, status, outcome, now - began_);
  if (host_.access_log() != nullptr || trace_.recording()) write_records(status, outcome);
  observe_end(outcome, now);
  if (!std::exchange(has_id_, false)) return;
  host_.actions().unbind(id_);
  host_.picker().on_end(id_, outcome, now);
}

void ExtProcCall::observe_end(Outcome outcome, Time now) {
  if (outcome == Outcome::kCompleted) note_token_interval(now);
  if (cells_ != nullptr) {
    if (outcome == Outcome::kUpstreamFailed) cells_->on_error(kModelServerError);
    if (forwarded_) cells_->on_left();
    const auto first_token =
        first_token_at_ ? std::optional(*first_token_at_ - began_) : std::nullopt;
    cells_->on_end({.total = now - began_,
                    .response_bytes = response_bytes_,
                    .usage = usage_ ? &*usage_ : nullptr,
                    .streaming = stream_.request().inference.streaming,
                    .answered = outcome == Outcome::kCompleted && forwarded_},
                   first_token);
  }
}

}  // namespace fairlead::extproc
