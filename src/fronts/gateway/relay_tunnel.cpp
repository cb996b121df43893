// SPDX-License-Identifier: Apache-2.0
// A WebSocket's way through a Relay: its handshake, and then bytes that are not looked at.
//
// Back-pressure: what the engine does not take waits in to_engine_, and the client is not read
// until it has left; what the client does not take holds the engine back as with every answer. A
// client's half-close goes on to the engine; an engine's close ends the tunnel.
#include <string>
#include <utility>

#include "core/codec/websocket.h"
#include "fronts/gateway/relay.h"

namespace fairlead::gateway {
namespace {

using model::Outcome;
using model::ReplyReason;

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr int kReadsPerTurn = 8;

Outcome outcome_of(TunnelEnd end) {
  switch (end) {
    case TunnelEnd::kClosed:
      return Outcome::kCompleted;
    case TunnelEnd::kClientGone:
      return Outcome::kClientGone;
    case TunnelEnd::kEngineFailed:
      return Outcome::kUpstreamFailed;
    case TunnelEnd::kIdle:
    case TunnelEnd::kExpired:
    case TunnelEnd::kDrained:
      break;
  }
  return Outcome::kTimedOut;
}

}  // namespace

void Relay::begin_tunnel() {
  if (!read_handshake() || !read_query_model()) return;
  if (!host_.take_tunnel()) {
    return reply({ReplyReason::kOverloaded, "As many WebSockets are open as may be.", {}});
  }
  holds_tunnel_ = true;
  body_ = {};
  body_bytes_ = exchange::BodyBytes::kAsSent;
  if (admit()) decide();
}

bool Relay::read_handshake() {
  const auto refuse = [&](ReplyReason reason, std::string_view message) {
    reply({reason, message, {}});
    return false;
  };
  if (!exchange_->can_upgrade()) {
    return refuse(ReplyReason::kUpgradeRequired,
                  "A WebSocket needs HTTP/1.1 here; extended CONNECT (RFC 8441) is not supported.");
  }
  switch (codec::check_handshake(exchange_->head())) {
    case codec::HandshakeStatus::kOk:
      break;
    case codec::HandshakeStatus::kNotAsked:
    case codec::HandshakeStatus::kWrongVersion:
      return refuse(ReplyReason::kUpgradeRequired, {});
    case codec::HandshakeStatus::kBadKey:
      return refuse(ReplyReason::kBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64.");
    case codec::HandshakeStatus::kHasBody:
      return refuse(ReplyReason::kBadRequest, "A WebSocket's handshake has no body.");
  }
  // Browsers let any page open one and read from it: CORS does not hold here, so Origin has to.
  const std::string_view origin = codec::header_value(exchange_->head().headers, "origin");
  if (origin.empty() || !allow_origin_.empty()) return true;
  return refuse(ReplyReason::kOriginNotAllowed, {});
}

bool Relay::read_query_model() {
  std::string model;
  std::string_view message;
  switch (exchange::model_of_query(exchange_->head().query(), model)) {
    case exchange::QueryModel::kFound:
      facts_.set_tunnel(model, exchange_->head().headers);
      return true;
    case exchange::QueryModel::kMissing:
      message = "The query must name the model, as in /v1/realtime?model=NAME.";
      break;
    case exchange::QueryModel::kRepeated:
      message = "The query names the model more than once.";
      break;
    case exchange::QueryModel::kMalformed:
      message = "The query's percent-encoding is malformed.";
      break;
  }
  reply({ReplyReason::kBadRequest, message, "model"});
  return false;
}

void Relay::open_tunnel() {
  phase_ = Phase::kTunnel;
  host_.picker().on_first_token(id_, std::nullopt);
  host_.metrics().on_tunnel_open();
  exchange_->upgrade(response_.headers());
  tunnel_timer_.arm(generation_->settings.limits.tunnel_idle);
  // What the client sent ahead; not now, while the engine's answer is being read.
  host_.loop().at_turn_end(*this);
}

void Relay::carry_to_engine() {
  if (phase_ != Phase::kTunnel) return;
  for (int reads = 0;; ++reads) {
    if (!to_engine_.empty()) to_engine_.consume(upstream_.send(to_engine_.view()));
    if (!to_engine_.empty()) return;  // on_send_ready() goes on.
    if (reads == kReadsPerTurn) return host_.loop().at_turn_end(*this);
    host_.loop().buffers().grow(to_engine_, kReadBytes);
    const std::size_t bytes = exchange_->read_upgraded(to_engine_);
    if (bytes == 0) break;
    from_client_ += bytes;
    tunnel_timer_.arm(generation_->settings.limits.tunnel_idle);
  }
  to_engine_.release();
  if (client_ended_ || !exchange_->upgraded_input_ended()) return;
  client_ended_ = true;
  upstream_.finish_sending();
}

void Relay::carry_to_client(std::string_view raw) {
  response_bytes_ += raw.size();
  tunnel_timer_.arm(generation_->settings.limits.tunnel_idle);
  exchange_->write_raw(raw);
  hold_engine_back();
}

void Relay::tunnel_failed(const net::UpstreamError& error) {
  if (error.failure == net::UpstreamFailure::kTotalTimeout) return end_tunnel(TunnelEnd::kExpired);
  count_against_endpoint(model::UpstreamFailure::kResetMidBody);
  end_tunnel(TunnelEnd::kEngineFailed);
}

// What already waits for the client still leaves. No close frame is put behind it, because nobody
// here knows whether the last frame was whole: without one, no client takes the end for orderly.
void Relay::end_tunnel(TunnelEnd end) {
  upstream_.cancel();
  if (end == TunnelEnd::kDrained) reply_reason_ = ReplyReason::kDraining;
  count_tunnel(end);
  conclude(response_.status(), outcome_of(end));
  exchange_->finish();
  release();
}

void Relay::count_tunnel(TunnelEnd end) {
  host_.metrics().on_tunnel_end(end, from_client_, response_bytes_);
}

void Relay::release_tunnel() {
  tunnel_timer_.cancel();
  to_engine_.release();
  if (std::exchange(holds_tunnel_, false)) host_.give_back_tunnel();
}

}  // namespace fairlead::gateway
