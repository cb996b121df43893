// SPDX-License-Identifier: Apache-2.0
// The answer's way back through a Relay.
#include <array>
#include <string>

#include "core/codec/http1_write.h"
#include "fronts/gateway/relay.h"
#include "io/net/loop_profile.h"

namespace fairlead::gateway {
namespace {

using model::Outcome;
using model::ReplyReason;

// As NGINX logs a client that left before its answer; never sent.
constexpr int kClientClosedRequest = 499;

}  // namespace

int Relay::status_seen() const {
  return phase_ == Phase::kRelaying || phase_ == Phase::kTunnel ? response_.status()
                                                                : kClientClosedRequest;
}

void Relay::on_response_head(const codec::Http1ResponseHead& head) {
  const net::LoopScope scope(host_.loop().profile(), net::LoopPart::kRelaying);
  record_dispatch();
  response_.hold(head, {.endpoint_name = target_->name,
                        .session_token = target_->session_token,
                        .request_id_header = request_id_header(),
                        .request_id = request_id_,
                        .allow_origin = allow_origin_});
  trace_.on_status(head.status);
  watch_.begin(head, match_.route);
  if (head.status == 101) return open_tunnel();
  failed_try_held_ = exchange::is_failed_try(head.status);
  const bool chunked = head.body.kind == codec::BodyKind::kChunked;
  copy_ =
      chunked && exchange_->accepts_chunked() && !failed_try_held_ ? Copy::kRaw : Copy::kPayload;
  // An answer that is not streamed begins when its prefill and decoding are over.
  if (!failed_try_held_ && watch_.form() != exchange::ResponseForm::kEventStream) {
    note_first_token();
  }
}

void Relay::on_body(std::string_view raw, std::span<const std::string_view> payload) {
  const net::LoopScope scope(host_.loop().profile(), net::LoopPart::kRelaying);
  if (phase_ == Phase::kTunnel) return carry_to_client(raw);
  if (phase_ == Phase::kTrying && failed_try_held_) {
    for (const std::string_view piece : payload) held_body_ += piece;
    if (held_body_.size() <= kHeldBodyBytesMax) return;
    // Too long for an error; whatever it is, it goes to the client.
    failed_try_held_ = false;
    start_response();
    const std::string_view held = held_body_;
    return pass_on(held, {&held, 1});
  }
  if (payload.empty() && phase_ == Phase::kTrying) {
    // A part of a chunk's size line: no reason to commit to this endpoint yet. As it is not kept,
    // the chunks have to be framed anew.
    copy_ = Copy::kPayload;
    return;
  }
  if (phase_ == Phase::kTrying) {
    start_response();
  } else if (watch_.form() == exchange::ResponseForm::kEventStream) {
    host_.loop().pacer().on_piece();
  }
  pass_on(raw, payload);
}

// From here on the client sees bytes of this endpoint's answer.
void Relay::start_response() {
  phase_ = Phase::kRelaying;
  if (!upstream_.active() || upstream_.request_sent()) {
    body_ = {};
    exchange_->drop_body();
    drop_decoded();
  }
  codec::BodyFraming framing = response_.body();
  // Towards an HTTP/1.0 client the server turns chunked into until_close.
  if (framing.kind == codec::BodyKind::kUntilClose) framing = codec::BodyFraming::chunked();
  exchange_->start(response_.status(), response_.headers(), framing);
}

void Relay::pass_on(std::string_view raw, std::span<const std::string_view> payload) {
  watch_.feed(raw, payload);
  if (!first_token_noted_ && watch_.first_token()) note_first_token();
  if (match_.route == exchange::Route::kResponses && !response_noted_) note_response();
  for (const std::string_view piece : payload) {
    response_bytes_ += piece.size();
    if (copy_ == Copy::kPayload) exchange_->write_chunk(piece);
  }
  if (copy_ == Copy::kRaw) exchange_->write_raw(raw);
  hold_engine_back();
}

// While much waits for the client, the engine is not read.
void Relay::hold_engine_back() {
  const bool tight = host_.overload().has(admission::OverloadAction::kTightenBuffers);
  const std::size_t high = tight ? kPendingBytesTight : kPendingBytesHigh;
  if (exchange_->pending_bytes() > high) upstream_.pause();
}

void Relay::note_first_token() {
  first_token_noted_ = true;
  if (response_.status() != 200) return host_.picker().on_first_token(id_, std::nullopt);
  first_token_at_ = host_.loop().now();
  host_.picker().on_first_token(id_, first_token_at_);
  trace_.on_first_token(*first_token_at_);
  host_.metrics().on_first_token(facts_.request().streaming,
                                 *first_token_at_ - exchange_->received_at());
}

// Before the client sees the id, so that whatever continues this answer finds it.
void Relay::note_response() {
  const std::uint64_t id = watch_.facts().answer_id;
  if (id == 0 || response_.status() != 200) return;
  response_noted_ = true;
  host_.responses().note(id, target_->ref, host_.loop().now());
}

// The mean over one streamed answer, from its first token to its end.
void Relay::note_token_interval() {
  if (response_.status() != 200 || watch_.form() != exchange::ResponseForm::kEventStream) return;
  const codec::ResponseFacts& seen = watch_.facts();
  if (!first_token_at_ || !seen.first_token) return;
  // Without usage, an event is a token.
  std::uint64_t tokens = seen.data_events;
  if (seen.usage) tokens = seen.usage->completion_tokens.value_or(tokens);
  if (tokens < 2) return;
  host_.metrics().on_token_interval(to_seconds(host_.loop().now() - *first_token_at_) /
                                    static_cast<double>(tokens - 1));
}

void Relay::note_usage() {
  const codec::Usage& usage = *watch_.facts().usage;
  host_.metrics().on_usage(usage);
  // A retry may have named another endpoint since, but then nothing is held of this one's answer.
  if (!has_id_) return;
  const model::EndpointRef endpoint = host_.picker().decision(id_).endpoint;
  if (usage.prompt_tokens) {
    host_.prompts().note_answer(endpoint, facts_.request(), *usage.prompt_tokens);
  }
  host_.traffic().on_usage(endpoint.slot, usage.prompt_tokens.value_or(0),
                           usage.cached_tokens.value_or(0), usage.completion_tokens.value_or(0));
}

void Relay::on_complete() {
  const net::LoopScope scope(host_.loop().profile(), net::LoopPart::kRelaying);
  if (phase_ == Phase::kTunnel) return end_tunnel(TunnelEnd::kClosed);
  // The picker may send the request elsewhere; if not, on_action() relays what is held.
  if (phase_ == Phase::kTrying && failed_try_held_) {
    return try_failed(model::UpstreamFailure::kServerError);
  }
  if (phase_ == Phase::kTrying) start_response();
  finish_response();
}

void Relay::relay_held_answer() {
  start_response();
  if (!held_body_.empty()) {
    const std::string_view held = held_body_;
    pass_on(held, {&held, 1});
  }
  conclude(response_.status(), Outcome::kUpstreamFailed);
  exchange_->finish();
  release();
}

void Relay::finish_response() {
  const auto failure = exchange::failure_of_status(response_.status());
  if (failure) count_against_endpoint(*failure);
  // An engine that fails after its 200 says so in an event.
  note_token_interval();
  const bool failed = failure.has_value() || (response_.status() == 200 && watch_.facts().error);
  conclude(response_.status(), failed ? Outcome::kUpstreamFailed : Outcome::kCompleted);
  exchange_->finish();
  release();
}

void Relay::on_drained() {
  if (phase_ == Phase::kBreaking) return abort_response();
  upstream_.resume();
}

// A comment, which readers of events skip (WHATWG HTML §9.2.6), asks whether the client is there.
// Where none can stand, the answer's own next bytes do.
net::HalfClosed Relay::on_client_half_closed() {
  if (phase_ == Phase::kRelaying && event_fits()) write_event(":\n\n");
  return net::HalfClosed::kMayRead;
}

bool Relay::event_fits() const {
  return watch_.form() == exchange::ResponseForm::kEventStream && watch_.between_events() &&
         (copy_ == Copy::kPayload || watch_.between_chunks()) &&
         response_.body().kind != codec::BodyKind::kLength;
}

// The client has part of an answer. Its end is an error event where one can stand, and then a
// reset: without a last chunk no HTTP client takes the answer for complete.
void Relay::break_off(ReplyReason reason) {
  reply_reason_ = reason;
  conclude(response_.status(),
           reason == ReplyReason::kUpstreamFailed ? Outcome::kUpstreamFailed : Outcome::kTimedOut);
  phase_ = Phase::kBreaking;
  if (event_fits()) {
    std::string& event = host_.scratch();
    event.clear();
    exchange::append_error_event({reason, {}, {}}, exchange::error_shape(match_.route), event);
    write_event(event);
  }
  // A reset would overtake bytes that still wait here; on_drained() goes on.
  if (exchange_->pending_bytes() == 0) abort_response();
}

void Relay::write_event(std::string_view event) {
  if (copy_ == Copy::kPayload) return exchange_->write_chunk(event);
  std::string framed;
  codec::append_chunk_size(framed, event.size());
  framed += event;
  framed += codec::kChunkEnd;
  exchange_->write_raw(framed);
}

void Relay::abort_response() {
  exchange_->abort();
  release();
}

}  // namespace fairlead::gateway
