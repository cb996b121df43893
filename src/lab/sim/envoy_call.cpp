// SPDX-License-Identifier: Apache-2.0
// The proxy. envoy_port.cpp has the router's half.
#include "lab/sim/envoy_call.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace fairlead::sim {
namespace {

using codec::ProcessingPhase;
using codec::envoy::EnvoyMessage;
using codec::envoy::EnvoyReply;
using codec::envoy::ReplyKind;

// Longer than the longest pause of the router.
constexpr Duration kRouterPatience = std::chrono::seconds(5);
constexpr std::size_t kRequestPiecesMax = 3;

}  // namespace

EnvoyCall::EnvoyCall(RouterNode& node, ClientId client, const Prompt& prompt,
                     std::uint64_t conversation, std::uint64_t seed)
    : Call(node, client, prompt, conversation),
      stream_({node.desk(), node.bodies(), node.counters()}, *this),
      random_(seed),
      ends_with_bytes_(random_.below(2) == 0) {
  settings_.keys = node.key_settings();
}

void EnvoyCall::begin() {
  stream_.begin(settings_);
  to_router({.phase = ProcessingPhase::kRequestHeaders,
             .headers = {{":method", "POST"},
                         {":path", "/v1/completions"},
                         {"content-type", "application/json"}}});
  std::string_view rest = prompt_.body;
  for (std::size_t pieces = 1 + random_.below(kRequestPiecesMax); pieces > 1; --pieces) {
    const std::size_t size = random_.below(rest.size());
    to_router({.phase = ProcessingPhase::kRequestBody, .body = std::string(rest.substr(0, size))});
    rest.remove_prefix(size);
  }
  to_router({.phase = ProcessingPhase::kRequestBody, .body = std::string(rest), .end = true});
  wait(kRouterPatience, &EnvoyCall::on_router_timeout);
  node_.world().agenda.after(limits().total, guarded([this] {
                               if (!client_over_) on_router_timeout();
                             }));
}

// In full duplex both ways, as every message says here.
void EnvoyCall::to_router(EnvoyMessage message) {
  using enum codec::BodySendMode;
  message.protocol = {kFullDuplexStreamed, kFullDuplexStreamed};
  node_.world().loop.after(kWire, guarded([this, bytes = encode(message)] {
                             if (stream_.running()) stream_.on_message(bytes);
                           }));
}

void EnvoyCall::wait(Duration length, void (EnvoyCall::*then)()) {
  node_.world().agenda.after(length, guarded([this, then, mine = ++waits_] {
                               if (mine == waits_ && !client_over_) (this->*then)();
                             }));
}

void EnvoyCall::take(std::string_view message) {
  if (client_over_) return;
  EnvoyReply reply;
  if (!decode(message, reply)) return ledger().found("readable replies", "a reply is none");
  const bool of_request = reply.side == codec::ProcessingSide::kRequest;
  switch (reply.kind) {
    case ReplyKind::kImmediate:
      return end_client(ClientEnd::kRefused);
    case ReplyKind::kHeaders:
      if (of_request) {
        destinations_ = reply.header(codec::kDestinationHeader);
      } else if (status_ == 0) {
        end_client(ClientEnd::kRefused);  // The proxy's own answer has no body.
      }
      return;
    case ReplyKind::kBody:
      if (of_request) return take_request_piece(reply);
      ledger().receive(client_, reply.body);
      if (reply.end) end_client(status_ == 200 ? ClientEnd::kComplete : ClientEnd::kRefused);
      return;
    default:
      return ledger().found("readable replies", "trailers, of which there are none");
  }
}

void EnvoyCall::take_request_piece(const EnvoyReply& reply) {
  request_ += reply.body;
  if (!reply.end) return;
  if (request_ != prompt_.body) ledger().found("whole requests", "the engine gets another body");
  forwarding_ = true;
  try_next();
}

// The next destination; without one the client is told that nobody answers.
void EnvoyCall::try_next() {
  const std::size_t comma = std::min(destinations_.find(','), destinations_.size());
  served_ = destinations_.substr(0, comma);
  destinations_.erase(0, comma + 1);
  const std::size_t colon = served_.rfind(':');
  if (colon == std::string::npos) return answer_locally("503");
  model::Endpoint endpoint;
  std::from_chars(served_.data() + colon + 1, served_.data() + served_.size(), endpoint.port);
  engine_ = &node_.engine_of(endpoint);
  flow_ = ledger().begin_flow(client_);
  engine_->open(*flow_, prompt_, *this, {node_.proxy_wire(), [](Task task) { return task; }});
  wait(limits().connect, &EnvoyCall::on_connect_timeout);
}

void EnvoyCall::answer_locally(std::string_view status) {
  to_router({.phase = ProcessingPhase::kResponseHeaders,
             .headers = {{":status", std::string(status)}},
             .end = true});
  wait(kRouterPatience, &EnvoyCall::on_router_timeout);
}

void EnvoyCall::on_connected() { wait(limits().first_byte, &EnvoyCall::on_idle_timeout); }

void EnvoyCall::on_router_timeout() {
  give_up_flow();
  break_off(unserved());
}

void EnvoyCall::on_connect_timeout() {
  give_up_flow();
  try_next();
}

void EnvoyCall::on_idle_timeout() {
  give_up_flow();
  if (status_ == 0) return answer_locally("504");
  break_off(ClientEnd::kBroken);
}

void EnvoyCall::on_head(int status) {
  status_ = status;
  to_router(
      {.phase = ProcessingPhase::kResponseHeaders,
       .headers = {{":status", std::to_string(status)},
                   {"content-type", status == 200 ? "text/event-stream" : "application/json"}},
       .metadata = codec::envoy::served_metadata(served_)});
  wait(limits().idle, &EnvoyCall::on_idle_timeout);
}

// The last piece is not known before the end, so that one is always kept.
void EnvoyCall::on_piece(std::string_view bytes) {
  wait(limits().idle, &EnvoyCall::on_idle_timeout);
  if (!ends_with_bytes_) return pass(bytes, codec::BodyEnd::kMore);
  if (!kept_piece_.empty()) pass(kept_piece_, codec::BodyEnd::kMore);
  kept_piece_ = bytes;
}

void EnvoyCall::pass(std::string_view bytes, codec::BodyEnd end) {
  to_router({.phase = ProcessingPhase::kResponseBody,
             .body = std::string(bytes),
             .end = end == codec::BodyEnd::kLast});
}

void EnvoyCall::on_complete() {
  flow_.reset();
  pass(kept_piece_, codec::BodyEnd::kLast);
  wait(kRouterPatience, &EnvoyCall::on_router_timeout);
}

void EnvoyCall::on_flow_failed(Failure) {
  flow_.reset();
  if (status_ == 0) return try_next();
  break_off(ClientEnd::kBroken);
}

// The proxy resets both sides.
void EnvoyCall::break_off(ClientEnd how) {
  end_client(how);
  node_.world().loop.after(kWire, guarded([this] {
                             if (stream_.running()) stream_.on_gone();
                             stream_over_ = true;
                           }));
}

void EnvoyCall::end_client(ClientEnd how) {
  client_over_ = true;
  close_flow();
  ledger().end(client_, how);
}

ClientEnd EnvoyCall::unserved() {
  return ledger().client(client_).received.empty() ? ClientEnd::kRefused : ClientEnd::kBroken;
}

void EnvoyCall::close_flow() {
  if (flow_) engine_->close(*std::exchange(flow_, std::nullopt));
}

void EnvoyCall::give_up_flow() {
  if (flow_) engine_->give_up(*std::exchange(flow_, std::nullopt));
}

void EnvoyCall::leave() {
  if (!client_over_) break_off(ClientEnd::kLeft);
}

// The proxy answers for a stream that breaks off, or resets its client.
void EnvoyCall::cut_off() {
  if (stream_.running()) stream_.on_gone();
  stream_over_ = true;
  if (client_over_) return;
  end_client(unserved());
}

void EnvoyCall::lose() {
  stream_over_ = true;
  if (!client_over_) end_client(ClientEnd::kLost);
}

}  // namespace fairlead::sim
