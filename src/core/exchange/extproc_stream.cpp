// SPDX-License-Identifier: Apache-2.0
// The order of messages, and the ends. extproc_request.cpp, extproc_forward.cpp and
// extproc_response.cpp have the rest.
#include "core/exchange/extproc_stream.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "base/assert.h"
#include "core/exchange/kept_memory.h"

namespace fairlead::exchange {

using codec::ProcessingPhase;
using model::Outcome;

std::string_view to_string(ExtProcFault fault) {
  switch (fault) {
    case ExtProcFault::kMalformed:
      return "malformed";
    case ExtProcFault::kUnknownMessage:
      return "unknown_message";
    case ExtProcFault::kUnknownMode:
      return "unknown_mode";
    case ExtProcFault::kSecondRequestHeaders:
      return "second_request_headers";
    case ExtProcFault::kBodyBeforeHeaders:
      return "body_before_headers";
    case ExtProcFault::kBodyNotAsked:
      return "body_not_asked";
    case ExtProcFault::kRequestAfterEnd:
      return "request_after_end";
    case ExtProcFault::kSecondResponseHeaders:
      return "second_response_headers";
    case ExtProcFault::kResponseBodyBeforeHeaders:
      return "response_body_before_headers";
    case ExtProcFault::kResponseBodyNotAsked:
      return "response_body_not_asked";
    case ExtProcFault::kResponseHeadTooLarge:
      return "response_head_too_large";
  }
  return "unknown";
}

void append_endpoint(std::string_view host, std::uint16_t port, std::string& list) {
  if (!list.empty()) list += ',';
  const bool bracketed = host.find(':') != std::string_view::npos;
  fmt::format_to(std::back_inserter(list), "{}{}{}:{}", bracketed ? "[" : "", host,
                 bracketed ? "]" : "", port);
}

ExtProcStream::ExtProcStream(const ExtProcShared& shared, ExtProcPort& port)
    : shared_(shared), port_(port), body_(shared.bodies) {}

void ExtProcStream::begin(const ExtProcSettings& settings) {
  FAIRLEAD_ASSERT(!running());
  clear();
  settings_ = &settings;
  request_mode_ = settings.assumed.request_body;
  response_mode_ = settings.assumed.response_body;
  phase_ = Phase::kStart;
}

void ExtProcStream::clear() {
  FAIRLEAD_ASSERT(!running());
  phase_ = Phase::kIdle;
  modes_known_ = ended_at_head_ = request_ended_ = body_seen_ = trailers_due_ = false;
  collected_ = dispatched_ = in_parts_ = first_token_noted_ = false;
  method_ = path_ = {};
  controls_ = {};
  match_ = {};
  subset_.clear();
  facts_.clear();
  body_.release();
  body_bytes_ = bodies_due_ = 0;
  response_phase_ = ResponsePhase::kNone;
  status_ = 0;
  swap_.clear();
  watch_ = {};
  for (codec::Http1Headers* const headers : {&headers_, &set_, &response_head_.headers}) {
    clear_kept(*headers);
  }
  clear_kept(remove_);
  for (std::string* const text : {&head_, &out_, &piece_, &last_metadata_, &request_id_, &model_,
                                  &session_token_, &trace_parent_, &served_}) {
    clear_kept(*text);
  }
}

void ExtProcStream::on_message(std::string_view message) {
  // Behind our end, Envoy may have sent more before it saw it.
  if (!running()) return;
  codec::ProcessingRequest request;
  if (!codec::decode_processing_request(message, request)) return fault(ExtProcFault::kMalformed);
  if (request.observability_mode) {
    ++shared_.counters.observed;
    return finish(StreamStatus::kOk, {}, Outcome::kRejected);
  }
  if (learn_modes(request)) dispatch(request);
}

bool ExtProcStream::learn_modes(const codec::ProcessingRequest& message) {
  if (std::exchange(modes_known_, true)) return true;
  if (message.protocol) {
    request_mode_ = message.protocol->request_body;
    response_mode_ = message.protocol->response_body;
  }
  if (request_mode_ != Mode::kGrpc && response_mode_ != Mode::kGrpc) return true;
  fault(ExtProcFault::kUnknownMode);
  return false;
}

void ExtProcStream::dispatch(const codec::ProcessingRequest& message) {
  switch (message.phase) {
    case ProcessingPhase::kRequestHeaders:
      return on_request_headers(message);
    case ProcessingPhase::kRequestBody:
      return on_request_body(message);
    case ProcessingPhase::kRequestTrailers:
      return on_request_trailers();
    case ProcessingPhase::kResponseHeaders:
      return on_response_headers(message);
    case ProcessingPhase::kResponseBody:
      return on_response_body(message);
    case ProcessingPhase::kResponseTrailers:
      return on_response_trailers();
    case ProcessingPhase::kNone:
      return fault(ExtProcFault::kUnknownMessage);
  }
}

void ExtProcStream::fault(ExtProcFault fault) {
  ++shared_.counters.faults[static_cast<std::size_t>(fault)];
  const auto status = fault == ExtProcFault::kUnknownMode ? StreamStatus::kUnimplemented
                                                          : StreamStatus::kInvalidArgument;
  const bool was_forwarded = phase_ == Phase::kForwarded || phase_ == Phase::kForeign;
  finish(status, to_string(fault), was_forwarded ? Outcome::kClientGone : Outcome::kRejected);
}

void ExtProcStream::finish(StreamStatus status, std::string_view message, Outcome outcome) {
  port_.finish(status, message);
  end(outcome);
}

void ExtProcStream::end(Outcome outcome) {
  const bool own_answer = phase_ == Phase::kForwarded;
  phase_ = Phase::kOver;
  if (own_answer && watch_.facts().usage) port_.on_usage(*watch_.facts().usage);
  port_.on_end(outcome);
}

void ExtProcStream::on_gone() {
  if (running()) end(outcome_if_gone());
}

void ExtProcStream::on_half_close() {
  if (running()) finish(StreamStatus::kOk, {}, outcome_if_gone());
}

void ExtProcStream::on_drained() {
  // Before, the body is still to be read or sent.
  if (phase_ == Phase::kForwarded || phase_ == Phase::kForeign || phase_ == Phase::kOver) {
    body_.release();
  }
}

void ExtProcStream::cut_off() {
  switch (phase_) {
    case Phase::kIdle:
    case Phase::kOver:
      return;
    case Phase::kCollecting:
    case Phase::kDeciding:
      return reply({model::ReplyReason::kDraining, {}, {}});
    case Phase::kForwarded:
      if (rest_is_unseen()) return finish(StreamStatus::kOk, {}, outcome_of_response());
      break;
    case Phase::kStart:
    case Phase::kForeign:
      break;
  }
  finish(StreamStatus::kUnavailable, "draining", Outcome::kTimedOut);
}

// What travels with an answer's end is there from its last message on.
void ExtProcStream::begin_reply(Side side) {
  out_.clear();
  if (side == Side::kResponse) out_.swap(last_metadata_);
}

void ExtProcStream::send_body_reply(Side side) {
  begin_reply(side);
  codec::append_body_reply({.side = side}, out_);
  send_reply();
}

void ExtProcStream::send_trailers(Side side) {
  begin_reply(side);
  codec::append_trailers_reply(side, out_);
  send_reply();
}

void ExtProcStream::send_piece(Side side, std::string_view bytes, codec::BodyEnd end,
                               Source source) {
  begin_reply(end == codec::BodyEnd::kLast ? side : Side::kRequest);
  codec::append_streamed_head(side, bytes.size(), end, out_);
  if (source == Source::kStored) return port_.send_stored(out_, bytes);
  port_.send(out_, bytes);
}

void ExtProcStream::send_pieces(Side side, std::string_view bytes, codec::BodyEnd end,
                                Source source) {
  while (bytes.size() > kPieceBytesMax) {
    send_piece(side, bytes.substr(0, kPieceBytesMax), codec::BodyEnd::kMore, source);
    bytes.remove_prefix(kPieceBytesMax);
  }
  if (!bytes.empty() || end == codec::BodyEnd::kLast) send_piece(side, bytes, end, source);
}

}  // namespace fairlead::exchange
