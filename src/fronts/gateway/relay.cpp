// SPDX-License-Identifier: Apache-2.0
// The request's way: facts, decision, tries, replies of our own. relay_response.cpp has the answer.
#include "fronts/gateway/relay.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "base/assert.h"
#include "core/exchange/cors.h"
#include "core/exchange/request_head.h"
#include "io/net/loop_profile.h"

namespace fairlead::gateway {
namespace {

using model::Outcome;
using model::ReplyReason;
using model::UpstreamFailure;

Outcome outcome_of(ReplyReason reason) {
  switch (reason) {
    case ReplyReason::kUpstreamFailed:
      return Outcome::kUpstreamFailed;
    case ReplyReason::kUpstreamTimeout:
      return Outcome::kTimedOut;
    default:
      return Outcome::kRejected;
  }
}

}  // namespace

Relay::Relay(RelayHost& host)
    : host_(host),
      upstream_(host.upstream(), *this),
      tunnel_timer_(host.loop(), [this] { end_tunnel(TunnelEnd::kIdle); }) {}

void Relay::reset() {
  facts_.clear();
  has_id_ = dispatch_due_ = failed_try_held_ = first_token_noted_ = false;
  response_noted_ = false;
  response_.clear();
  held_body_.clear();
  reply_reason_ = ReplyReason::kNone;
  last_failure_.reset();
  departed_at_.reset();
  first_token_at_.reset();
  response_bytes_ = from_client_ = 0;
  client_ended_ = false;
  trace_.clear();
}

void Relay::begin(net::ServerExchange& exchange, const exchange::RouteMatch& match) {
  FAIRLEAD_ASSERT(phase_ == Phase::kFree);
  reset();
  exchange_ = &exchange;
  request_bytes_ = exchange.body().size();
  match_ = match;
  phase_ = Phase::kDeciding;
  generation_ = host_.generation();
  client_address_ = exchange.peer().host();
  read_request_id();
  host_.metrics().on_begin();
  exchange.set_observer(this);
  if (!generation_->settings.tracing.endpoint.empty()) begin_trace();
  allow_origin_ = exchange::allowed_origin(generation_->settings.gateway.cors.allow_origins,
                                           exchange.head().headers);
  if (host_.overload().has(admission::OverloadAction::kShedRequests)) {
    host_.metrics().on_overload(admission::OverloadAction::kShedRequests);
    return reply({ReplyReason::kOverloaded, {}, {}});
  }
  if (!allow_origin_.empty() && exchange::is_preflight(exchange.head())) return reply_preflight();
  if (!authenticate()) return;
  switch (match.handling) {
    case exchange::Handling::kRefuse:
      return reply(
          {match.allow.empty() ? ReplyReason::kNotFound : ReplyReason::kMethodNotAllowed, {}, {}});
    case exchange::Handling::kModelList:
      return reply_model_list();
    case exchange::Handling::kModel:
      return reply_model();
    case exchange::Handling::kScan:
      return read_and_decide();
    case exchange::Handling::kTunnel:
      return begin_tunnel();
  }
}

void Relay::read_request_id() {
  const std::string_view sent = codec::header_value(exchange_->head().headers, request_id_header());
  if (exchange::is_request_id(sent)) {
    request_id_ = sent;
  } else {
    host_.make_request_id(request_id_);
  }
}

model::InferenceRequest Relay::named_request() const {
  model::InferenceRequest request = facts_.request();
  request.id = request_id_;
  return request;
}

void Relay::read_and_decide() {
  const net::LoopScope scope(host_.loop().profile(), net::LoopPart::kDeciding);
  if (read_body()) scan_and_decide();
}

void Relay::decode_on() {
  const net::LoopScope scope(host_.loop().profile(), net::LoopPart::kDeciding);
  if (decode_slice()) scan_and_decide();
}

void Relay::scan_and_decide() {
  const codec::Http1Headers& headers = exchange_->head().headers;
  const bool media = generation_->profile.reads.has(scheduling::Column::kMediaCached);
  const exchange::KeySettings keys{
      host_.key_seed(), generation_->settings.prefix.block_bytes,
      media ? exchange::MediaItems::kHashed : exchange::MediaItems::kIgnored,
      host_.prompts().settings()};
  const codec::ScanStatus status = facts_.read(match_.route, headers, body_, keys, host_.desk());
  if (!status.ok()) {
    const auto reason = status.error == codec::ScanError::kBodyTooLarge ? ReplyReason::kTooLarge
                                                                        : ReplyReason::kBadRequest;
    return reply({reason, status.message(), status.field});
  }
  if (!admit()) return;
  if (facts_.previous_response() != 0) find_holder();
  if (const auto form = facts_.token_form()) return tokenize(*form);
  decide();
}

// Where tokens do not come in time, the decision is made without them.
void Relay::tokenize(tokens::RequestForm form) {
  router::PromptDesk& prompts = host_.prompts();
  tokenizing_ = prompts.tokenize(facts_.request().model, form, body_, [this](auto tokens) {
    const net::LoopScope scope(host_.loop().profile(), net::LoopPart::kDeciding);
    tokenizing_.reset();
    if (!tokens.empty()) facts_.set_tokens(tokens, host_.prompts().settings());
    decide();
  });
}

void Relay::decide() {
  id_ = host_.picker().on_request(named_request(), *host_.pool_snapshot(), generation_->profile,
                                  host_.loop().now(), host_.actions().outbox());
  has_id_ = true;
  host_.actions().bind(id_, *this);
  host_.actions().run();
}

void Relay::take_turn() {
  const net::LoopScope scope(host_.loop().profile(), net::LoopPart::kDeciding);
  host_.picker().on_turn(id_, named_request(), *host_.pool_snapshot(), generation_->profile,
                         host_.loop().now(), host_.actions().outbox());
}

// The endpoint that made the answer which this request continues. Engines keep answers by
// themselves.
void Relay::find_holder() {
  const auto holder = host_.responses().find(facts_.previous_response(), host_.loop().now());
  if (!holder) return host_.metrics().on_previous_response(router::Holder::kUnknown);
  const auto pool = host_.pool_snapshot();
  const model::Endpoint* const endpoint = pool->find(holder->slot);
  if (endpoint == nullptr || !(endpoint->ref == *holder) || !endpoint->takes_traffic()) {
    return host_.metrics().on_previous_response(router::Holder::kGone);
  }
  host_.metrics().on_previous_response(router::Holder::kFound);
  facts_.set_holder(*holder);
}

void Relay::on_action(const picker::Action& action) {
  switch (action.kind) {
    case picker::Action::Kind::kForward:
      return forward(action.endpoint);
    case picker::Action::Kind::kWait:
      return host_.expect_turns();
    case picker::Action::Kind::kTurn:
      return take_turn();
    case picker::Action::Kind::kReply:
      break;
  }
  if (failed_try_held_ && response_.held()) return relay_held_answer();
  if (action.reason == ReplyReason::kUnknownModel)
    return reply_unknown_model(facts_.request().model);
  reply({action.reason, {}, {}}, action.retry_after);
}

void Relay::forward(model::EndpointRef endpoint) {
  const picker::Decision& decision = host_.picker().decision(id_);
  host_.metrics().on_decision(decision);
  if (decision.attempts == 1) host_.metrics().on_wait_end(decision.wait_end, decision.waited);
  host_.traffic().on_decision(endpoint.slot, decision.prompt_tokens, decision.cached_tokens);
  if (decision.attempts > 1) host_.metrics().on_retry();
  response_.clear();
  held_body_.clear();
  failed_try_held_ = false;
  target_ = host_.target(endpoint);
  // It left the pool after the decision, or its host is a name that nobody resolved.
  if (!target_) return try_failed(UpstreamFailure::kConnectRefused);
  const access::AccessRules& rules = host_.access();
  // A key that was checked stays here, even when a reload stopped asking for keys.
  const bool keeps_key = rules.keeps_client_key() || key_ != nullptr;
  exchange::write_request_head(
      {.head = exchange_->head(),
       .upstream_authority = target_->authority,
       .request_id_header = request_id_header(),
       .request_id = request_id_,
       .client_address = client_address_,
       .body_bytes = body_.size(),
       .client_key = keeps_key ? exchange::ClientKey::kKept : exchange::ClientKey::kForwarded,
       .authorization = rules.engine_authorization,
       .body = body_bytes_,
       .trace = trace_headers(),
       .protocol = holds_tunnel_ ? exchange::Protocol::kWebSocket : exchange::Protocol::kHttp},
      head_);
  send_to_target();
}

void Relay::send_to_target() {
  const config::LimitSettings& limits = generation_->settings.limits;
  const Duration left = exchange_->received_at() + limits.request_total - host_.loop().now();
  if (left <= Duration::zero()) return reply({ReplyReason::kUpstreamTimeout, {}, {}});
  net::UpstreamCall call;
  call.pieces[0] = head_;
  call.pieces[1] = body_;
  call.connect_timeout = limits.upstream_connect;
  call.reply_timeout = limits.upstream_first_byte;
  call.idle_timeout = limits.upstream_idle;
  call.total_timeout = left;
  phase_ = Phase::kTrying;
  dispatch_due_ = true;
  if (!departed_at_) departed_at_ = host_.loop().now();
  call.tls_name = target_->tls_name;
  if (holds_tunnel_) {
    call.method = codec::ResponseTo::kWebSocket;
    call.websocket_key = codec::header_value(exchange_->head().headers, "sec-websocket-key");
  }
  upstream_.start(target_->address, call);
}

void Relay::on_connected(net::ConnectionUse) { host_.loop().at_turn_end(*this); }

void Relay::on_turn_end() {
  if (phase_ == Phase::kTunnel) return carry_to_engine();
  if (upstream_.active()) record_dispatch();
}

// The prompt is written down after the request has left, so that the write delays nobody's bytes.
// The last bytes of a very large body may still be on their way.
void Relay::record_dispatch() {
  if (std::exchange(dispatch_due_, false)) {
    host_.picker().on_dispatched(id_, facts_.request(), host_.loop().now());
  }
}

void Relay::on_failed(const net::UpstreamError& error) {
  using Kind = net::UpstreamFailure;
  if (phase_ == Phase::kTunnel) return tunnel_failed(error);
  if (phase_ == Phase::kRelaying) {
    const bool timed_out = error.failure == Kind::kTotalTimeout;
    if (!timed_out) count_against_endpoint(UpstreamFailure::kResetMidBody);
    return break_off(timed_out ? ReplyReason::kUpstreamTimeout : ReplyReason::kUpstreamFailed);
  }
  response_.clear();
  held_body_.clear();
  failed_try_held_ = false;
  if (error.local()) return reply({ReplyReason::kOverloaded, {}, {}});
  switch (error.failure) {
    case Kind::kStale:
      // Says nothing about the endpoint, which never saw the request. The idle ones beside it are
      // suspect, so the next try is on a fresh connection, and this cannot repeat itself.
      host_.metrics().on_stale_retry();
      trace_.on_resent();
      host_.upstream().close_idle(target_->address);
      return send_to_target();
    case Kind::kConnectionLimit:
    case Kind::kConnectFailed:
    case Kind::kConnectRefused:
      return try_failed(UpstreamFailure::kConnectRefused);
    case Kind::kTlsFailed:
      return try_failed(UpstreamFailure::kTlsFailed);
    case Kind::kConnectTimeout:
      return try_failed(UpstreamFailure::kConnectTimeout);
    case Kind::kTotalTimeout:
      return reply({ReplyReason::kUpstreamTimeout, {}, {}});
    case Kind::kReplyTimeout:
    case Kind::kIdleTimeout:
      return try_failed(UpstreamFailure::kResponseTimeout);
    case Kind::kMalformed:
      return try_failed(UpstreamFailure::kMalformedResponse);
    case Kind::kClosedBeforeReply:
    case Kind::kResetMidReply:
    case Kind::kTruncated:
      return try_failed(UpstreamFailure::kResetBeforeResponse);
  }
}

// Asks the picker what to do now; it answers with another endpoint or with a reply.
void Relay::try_failed(UpstreamFailure failure) {
  last_failure_ = failure;
  host_.metrics().on_upstream_failure(failure);
  trace_.end_try(host_.loop().now(), failure);
  dispatch_due_ = false;
  const std::size_t body_bytes = body_.size();
  const picker::Replay replay = exchange::replay_rule(
      exchange::ClientSaw::kNothing, body_bytes, generation_->settings.limits.retry.buffer_bytes);
  if (replay == picker::Replay::kImpossible) host_.metrics().on_beyond_retry_buffer();
  picker::Picker& picker = host_.picker();
  const std::uint64_t exhausted = picker.counters().retry_budget_exhausted;
  phase_ = Phase::kDeciding;
  picker.on_upstream_failed(id_, failure, replay, named_request(), *host_.pool_snapshot(),
                            generation_->profile, host_.loop().now(), host_.actions().outbox());
  if (picker.counters().retry_budget_exhausted != exhausted) {
    host_.metrics().on_retry_budget_exhausted();
  }
  host_.actions().run();
}

// A failure that leaves nothing to decide, because the client has an answer, or part of one.
void Relay::count_against_endpoint(UpstreamFailure failure) {
  last_failure_ = failure;
  host_.metrics().on_upstream_failure(failure);
  trace_.end_try(host_.loop().now(), failure);
  // A 500 may be one prompt's fault: it is no evidence, or one client could empty the pool.
  if (failure == UpstreamFailure::kInternalError) return;
  host_.picker().on_upstream_failed(id_, failure, picker::Replay::kImpossible, facts_.request(),
                                    *host_.pool_snapshot(), generation_->profile,
                                    host_.loop().now(), host_.actions().outbox());
  // With kImpossible the picker's answer is always to reply, which is too late here.
  host_.actions().outbox().pop_back();
}

void Relay::reply(const exchange::ErrorText& text, Duration retry_after) {
  const ReplyReason reason = text.reason;
  reply_reason_ = reason;
  host_.metrics().on_reply(reason);
  std::string body;
  exchange::append_error(text, exchange::error_shape(match_.route), body);
  char digits[24];
  const std::uint64_t seconds = exchange::retry_after_seconds(reason, retry_after);
  const auto end = std::to_chars(std::begin(digits), std::end(digits), seconds).ptr;
  codec::Http1Headers& headers = host_.header_scratch();
  headers.clear();
  headers.push_back({"content-type", "application/json"});
  headers.push_back({exchange::kReasonHeader, model::to_string(reason)});
  headers.push_back({request_id_header(), request_id_});
  if (seconds > 0) headers.push_back({"retry-after", {digits, end}});
  if (!match_.allow.empty()) headers.push_back({"allow", match_.allow});
  if (reason == ReplyReason::kUnauthorized) headers.push_back({"www-authenticate", "Bearer"});
  if (reason == ReplyReason::kUnsupportedEncoding) headers.push_back({"accept-encoding", "gzip"});
  if (reason == ReplyReason::kUpgradeRequired) {
    headers.push_back({"upgrade", "websocket"});
    headers.push_back({"sec-websocket-version", "13"});
  }
  for (const codec::Http1Header& header : exchange::CorsHeaders(allow_origin_)) {
    headers.push_back(header);
  }
  response_bytes_ = body.size();
  const int status = model::http_status(reason);
  conclude(status, outcome_of(reason));
  exchange_->send_response(status, headers, body);
  release();
}

void Relay::reply_unknown_model(std::string_view model) {
  reply({ReplyReason::kUnknownModel,
         fmt::format("The model '{}' is not served by any engine. GET /v1/models lists the models.",
                     model),
         {}});
}

void Relay::reply_model_list() { reply_json(host_.model_list()); }

void Relay::reply_model() {
  std::string name;
  const bool is_name = exchange::decode_path_part(match_.model, name);
  const std::string_view card = is_name ? host_.model_card(name) : std::string_view();
  if (card.empty()) return reply_unknown_model(is_name ? name : match_.model);
  reply_json(card);
}

void Relay::reply_json(std::string_view body) {
  codec::Http1Headers& headers = host_.header_scratch();
  headers.clear();
  headers.push_back({"content-type", "application/json"});
  headers.push_back({request_id_header(), request_id_});
  for (const codec::Http1Header& header : exchange::CorsHeaders(allow_origin_)) {
    headers.push_back(header);
  }
  response_bytes_ = body.size();
  conclude(200, Outcome::kCompleted);
  exchange_->send_response(200, headers, body);
  release();
}

void Relay::on_client_gone() {
  upstream_.cancel();
  if (phase_ == Phase::kTunnel) count_tunnel(TunnelEnd::kClientGone);
  if (phase_ != Phase::kBreaking) conclude(status_seen(), Outcome::kClientGone);
  release();
}

void Relay::cut_off() {
  upstream_.cancel();
  switch (phase_) {
    case Phase::kFree:
      return;
    case Phase::kDeciding:
    case Phase::kTrying:
      return reply({ReplyReason::kDraining, {}, {}});
    case Phase::kRelaying:
      return break_off(ReplyReason::kDraining);
    case Phase::kTunnel:
      return end_tunnel(TunnelEnd::kDrained);
    case Phase::kBreaking:
      return abort_response();
  }
}

// The request is over for picker, metrics and log. Its exchange is still alive, as the log line
// reads its head.
void Relay::conclude(int status, Outcome outcome) {
  const Time now = host_.loop().now();
  if (tokenizing_) host_.prompts().cancel(*std::exchange(tokenizing_, std::nullopt));
  if (watch_.facts().usage && response_.held()) note_usage();
  settle(outcome, now);
  host_.metrics().on_end(match_.route, status, outcome, now - exchange_->received_at());
  if (host_.access_log() != nullptr || trace_.recording()) write_records(status, outcome);
  if (!std::exchange(has_id_, false)) return;
  host_.actions().unbind(id_);
  host_.picker().on_end(id_, outcome, now);
}

void Relay::release() {
  phase_ = Phase::kFree;
  exchange_ = nullptr;
  drop_decoded();
  release_tunnel();
  key_.reset();
  generation_.reset();
  target_.reset();
  host_.release(*this);
}

}  // namespace fairlead::gateway
