// SPDX-License-Identifier: Apache-2.0
// What Envoy is told of a decision: where to, with which headers, and the body again.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "core/codec/trace_context.h"
#include "core/exchange/extproc_stream.h"
#include "core/exchange/request_head.h"
#include "core/exchange/response_head.h"

namespace fairlead::exchange {
namespace {

using codec::BodyEnd;
using model::Outcome;
using model::ReplyReason;

// Of a body, so that it leaves with the decision and the close within the window that HTTP/2 begins
// with, 65,535 bytes (RFC 9113 §6.9.2).
constexpr std::size_t kAtOnceBytes = 48 * 1024;

Outcome outcome_of(ReplyReason reason) {
  if (reason == ReplyReason::kUpstreamFailed) return Outcome::kUpstreamFailed;
  if (reason == ReplyReason::kUpstreamTimeout) return Outcome::kTimedOut;
  return Outcome::kRejected;
}

}  // namespace

void ExtProcStream::reply(const ErrorText& error, Duration retry_after) {
  if (phase_ != Phase::kCollecting && phase_ != Phase::kDeciding) return;
  piece_.clear();
  append_error(error, error_shape(match_.route), piece_);
  char digits[24];
  const std::uint64_t seconds = retry_after_seconds(error.reason, retry_after);
  const auto end = std::to_chars(std::begin(digits), std::end(digits), seconds).ptr;
  const std::string_view dropped = dropped_reason(error.reason);
  set_.clear();
  set_.push_back({"content-type", "application/json"});
  set_.push_back({kReasonHeader, model::to_string(error.reason)});
  set_.push_back({settings_->request_id_header, request_id_});
  if (!dropped.empty()) set_.push_back({kDroppedReasonHeader, dropped});
  if (seconds > 0) set_.push_back({"retry-after", {digits, end}});
  if (!match_.allow.empty()) set_.push_back({"allow", match_.allow});
  out_.clear();
  codec::append_immediate_reply({.status = model::http_status(error.reason),
                                 .headers = set_,
                                 .body = piece_,
                                 .details = model::to_string(error.reason)},
                                out_);
  send_reply();
  port_.on_reply(error.reason);
  finish(StreamStatus::kOk, {}, outcome_of(error.reason));
}

void ExtProcStream::forward(const ExtProcTarget& target) {
  if (phase_ != Phase::kDeciding) return;
  phase_ = Phase::kForwarded;
  session_token_ = target.session_token;
  build_changes(target);
  send_decision(target);
  if (is_full_duplex() && !ended_at_head_) send_request_bytes(body_.view(), Source::kStored);
  send_body_replies();
}

bool ExtProcStream::is_set(std::string_view name) const {
  return std::ranges::any_of(set_, [name](const codec::Http1Header& header) {
    return codec::equals_ignore_case(name, header.name);
  });
}

void ExtProcStream::build_changes(const ExtProcTarget& target) {
  set_.clear();
  remove_.clear();
  set_.push_back({codec::kDestinationHeader, target.endpoints});
  if (header(settings_->request_id_header) != request_id_) {
    set_.push_back({settings_->request_id_header, request_id_});
  }
  set_length();
  set_trace(target.trace);
  // What steers routing was read here, or is none of a client's business.
  for (const codec::Http1Header& sent : headers_) {
    if (is_routing_header(sent.name) && !is_set(sent.name)) remove_.push_back(sent.name);
  }
}

// The length is said where the whole body is known, and taken away where it became another that is
// not; else the client's stands.
void ExtProcStream::set_length() {
  if (!collected_) return;
  const bool is_whole = request_ended_ && !trailers_due_;
  const std::size_t bytes = body_.view().size();
  const bool is_ours = is_full_duplex() || facts_.model_replaced();
  if (is_ours && is_whole && bytes > 0) {
    length_.clear();
    fmt::format_to(std::back_inserter(length_), "{}", bytes);
    set_.push_back({"content-length", length_});
  } else if (facts_.model_replaced()) {
    remove_.push_back("content-length");
  }
}

// The client's context passes as it came, unless the owner has a span to name as the parent, or the
// context is malformed.
void ExtProcStream::set_trace(const TraceHeaders& trace) {
  const auto drop = [this](std::string_view name, TraceHeaders::Sent sent) {
    const bool is_there = !header(name).empty();
    if (sent == TraceHeaders::Sent::kDropped && is_there) remove_.push_back(name);
  };
  if (trace.own_parent.empty()) {
    drop(codec::kTraceParentHeader, trace.parent);
  } else {
    trace_parent_ = trace.own_parent;
    set_.push_back({codec::kTraceParentHeader, trace_parent_});
  }
  drop(codec::kTraceStateHeader, trace.state);
}

void ExtProcStream::send_decision(const ExtProcTarget& target) {
  const codec::HeaderChanges changes{set_, remove_};
  const codec::Destination destination{target.endpoints, target.scores};
  out_.clear();
  if (!collected_ || is_full_duplex()) {
    codec::append_headers_reply({.side = Side::kRequest,
                                 .changes = changes,
                                 .route_cache = codec::RouteCache::kClear,
                                 .destination = destination},
                                out_);
    return send_reply();
  }
  const bool replaced = facts_.model_replaced();
  const std::string_view body = replaced ? body_.view() : std::string_view();
  codec::append_body_reply(
      {.side = Side::kRequest,
       .changes = changes,
       .route_cache = codec::RouteCache::kClear,
       .destination = destination,
       .body = replaced ? codec::BodyChange::kReplaced : codec::BodyChange::kKept,
       .body_bytes = body.size()},
      out_);
  port_.send_stored(out_, body);
}

void ExtProcStream::send_body_replies() {
  for (; bodies_due_ > 0; --bodies_due_) send_body_reply(Side::kRequest);
  conclude_request();
}

void ExtProcStream::send_request_bytes(std::string_view bytes, Source source) {
  const bool is_last = request_ended_ && !trailers_due_;
  // A stream that is closed behind the request's end has that in a message of its own, which leaves
  // together with the close: Envoy must not finish the request before it knows.
  const bool apart = is_last && closes_early() && !bytes.empty();
  send_pieces(Side::kRequest, bytes, is_last && !apart ? BodyEnd::kLast : BodyEnd::kMore, source);
  if (apart) send_piece(Side::kRequest, {}, BodyEnd::kLast, Source::kPassing);
}

// Nothing of the request, or nothing more, will pass here.
bool ExtProcStream::request_complete() const {
  return request_ended_ || request_mode_ == Mode::kNone || (is_buffered() && body_seen_);
}

// In full duplex Envoy sends an answer's pieces as they come, and does not wait for replies: those
// on the way when the stream is closed are lost. So it is closed only where the engine, which may
// answer before it has the whole request, has nothing of it before Envoy has the close.
bool ExtProcStream::closes_early() const {
  return settings_->response == ResponseProcessing::kNone &&
         response_phase_ == ResponsePhase::kNone &&
         (response_mode_ != Mode::kFullDuplexStreamed || leaves_at_once());
}

bool ExtProcStream::leaves_at_once() const {
  return !in_parts_ && (!is_full_duplex() || body_bytes_ <= kAtOnceBytes);
}

void ExtProcStream::conclude_request() {
  if (!request_complete()) return;
  if (trailers_due_) send_trailers(Side::kRequest);
  if (dispatched_) return;
  dispatched_ = true;
  port_.on_dispatched();
  if (settings_->response == ResponseProcessing::kFull) return;
  if (!closes_early()) {
    ++shared_.counters.kept_open;
    return;
  }
  ++shared_.counters.closed_early;
  finish(StreamStatus::kOk, {}, Outcome::kCompleted);
}

}  // namespace fairlead::exchange
