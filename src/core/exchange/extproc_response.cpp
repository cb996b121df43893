// SPDX-License-Identifier: Apache-2.0
// The answer's way through an ExtProcStream.
#include <charconv>
#include <system_error>
#include <utility>

#include "base/mutant.h"
#include "core/exchange/extproc_stream.h"
#include "core/exchange/session_token.h"

namespace fairlead::exchange {
namespace {

using codec::BodyEnd;
using model::Outcome;

// llm-d marks answers that passed through it; its conformance tests look for this.
constexpr codec::Http1Header kPassedHeader{"x-went-into-resp-headers", "true"};
constexpr std::string_view kServedHeader = "x-conformance-test-served-endpoint";

}  // namespace

// An answer to a request that was not decided is Envoy's own.
void ExtProcStream::begin_response() {
  if (phase_ == Phase::kForwarded || phase_ == Phase::kForeign) return;
  phase_ = Phase::kForeign;
  swap_.clear();
  body_.release();
  ++shared_.counters.foreign_answers;
}

// 0: what HTTP does not know, and nobody should take for an answer's.
int ExtProcStream::read_status() const {
  const std::string_view text = codec::header_value(response_head_.headers, ":status");
  int status = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), status);
  const bool is_number = read.ec == std::errc{} && read.ptr == text.data() + text.size();
  return is_number && status >= 100 && status <= 599 ? status : 0;
}

// False: the stream has ended.
bool ExtProcStream::read_response_head(std::string_view map) {
  const HeadRead read = map.size() > settings_->head_bytes_max
                            ? HeadRead::kTooLarge
                            : read_headers(map, response_head_.headers);
  if (read == HeadRead::kWhole) {
    status_ = response_head_.status = read_status();
    watch_.begin(response_head_, match_.route);
  }
  // They are views into the message.
  response_head_.headers.clear();
  if (read == HeadRead::kWhole) return true;
  fault(read == HeadRead::kTooLarge ? ExtProcFault::kResponseHeadTooLarge
                                    : ExtProcFault::kMalformed);
  return false;
}

void ExtProcStream::on_response_headers(const codec::ProcessingRequest& message) {
  if (response_phase_ != ResponsePhase::kNone) {
    return fault(ExtProcFault::kSecondResponseHeaders);
  }
  begin_response();
  response_phase_ = ResponsePhase::kHeaders;
  if (!read_response_head(message.headers)) return;
  if (phase_ == Phase::kForwarded) {
    port_.on_response_head(status_, codec::served_endpoint(message.metadata));
  }
  set_.assign(1, kPassedHeader);
  if (settings_->served_header == ServedHeader::kTold) {
    tell_served(codec::served_endpoint(message.metadata));
  }
  remove_.clear();
  if (!session_token_.empty()) set_.push_back({kSessionTokenHeader, session_token_});
  if (swap_.active() && response_mode_ != Mode::kNone) remove_.push_back("content-length");
  out_.clear();
  codec::append_headers_reply({.side = Side::kResponse, .changes = {set_, remove_}}, out_);
  send_reply();
  // An answer that is not streamed begins when its prefill and decoding are over; of one that does
  // not pass here, no more is known.
  const bool is_told = response_mode_ != Mode::kNone && !message.end_of_stream;
  if (watch_.form() != ResponseForm::kEventStream || !is_told) note_first_token();
  if (message.end_of_stream) response_done();
}

void ExtProcStream::on_response_body(const codec::ProcessingRequest& message) {
  if (response_phase_ == ResponsePhase::kNone && response_mode_ == Mode::kFullDuplexStreamed) {
    return fault(ExtProcFault::kResponseBodyBeforeHeaders);
  }
  const bool is_second =
      response_phase_ == ResponsePhase::kBody &&
      (response_mode_ == Mode::kBuffered || response_mode_ == Mode::kBufferedPartial);
  if (response_mode_ == Mode::kNone || is_second) {
    return fault(ExtProcFault::kResponseBodyNotAsked);
  }
  begin_response();
  response_phase_ = ResponsePhase::kBody;
  watch(message.body);
  if (message.end_of_stream) begin_last_piece();
  if (response_mode_ == Mode::kFullDuplexStreamed) {
    pass_piece(message.body, message.end_of_stream ? BodyEnd::kLast : BodyEnd::kMore);
  } else {
    reply_to_piece(message.body);
  }
  if (message.end_of_stream) response_done();
}

void ExtProcStream::on_response_trailers() {
  begin_response();
  if (response_mode_ == Mode::kFullDuplexStreamed && swap_.active()) {
    piece_.clear();
    swap_.finish(piece_);
    send_pieces(Side::kResponse, piece_, BodyEnd::kMore, Source::kPassing);
  }
  begin_last_piece();
  send_trailers(Side::kResponse);
  response_done();
}

void ExtProcStream::tell_served(std::string_view endpoint) {
  served_ = endpoint.empty() ? "fail: the proxy does not say which endpoint served" : endpoint;
  set_.push_back({kServedHeader, served_});
}

// The answer's last message has come, and the reply to it is to be written.
void ExtProcStream::begin_last_piece() {
  last_metadata_.clear();
  if (phase_ != Phase::kForwarded || !watch_.facts().usage) return;
  codec::append_metadata(port_.on_last_piece(*watch_.facts().usage), last_metadata_);
}

void ExtProcStream::watch(std::string_view bytes) {
  if (phase_ != Phase::kForwarded || bytes.empty()) return;
  watch_.feed(bytes, {&bytes, 1});
  if (watch_.first_token()) note_first_token();
  port_.on_progress(bytes.size());
}

// Into piece_.
void ExtProcStream::swap_names(std::string_view bytes, HoldBack hold) {
  piece_.clear();
  swap_.feed(bytes, hold, piece_);
  if (!swap_.active()) ++shared_.counters.swaps_stopped;
}

void ExtProcStream::pass_piece(std::string_view bytes, BodyEnd end) {
  if (planted(Mutant::kDroppedLastChunk) && end == BodyEnd::kLast) bytes = {};
  if (!swap_.active()) return send_pieces(Side::kResponse, bytes, end, Source::kPassing);
  swap_names(bytes, HoldBack::kAllowed);
  if (end == BodyEnd::kLast) swap_.finish(piece_);
  send_pieces(Side::kResponse, piece_, end, Source::kPassing);
}

// Here a reply can change only its own piece, and trailers may follow the last: nothing is held.
void ExtProcStream::reply_to_piece(std::string_view bytes) {
  if (!swap_.active()) return send_body_reply(Side::kResponse);
  swap_names(bytes, HoldBack::kForbidden);
  if (piece_ == bytes) return send_body_reply(Side::kResponse);
  begin_reply(Side::kResponse);
  codec::append_body_reply(
      {.side = Side::kResponse, .body = codec::BodyChange::kReplaced, .body_bytes = piece_.size()},
      out_);
  port_.send(out_, piece_);
}

void ExtProcStream::note_first_token() {
  if (phase_ != Phase::kForwarded || is_failed_try(status_)) return;
  if (!std::exchange(first_token_noted_, true)) port_.on_first_token();
}

void ExtProcStream::response_done() { finish(StreamStatus::kOk, {}, outcome_of_response()); }

// The rest of the answer does not pass here, and neither does its end.
bool ExtProcStream::rest_is_unseen() const {
  if (response_phase_ == ResponsePhase::kNone) return false;
  return response_mode_ == Mode::kNone ||
         (response_mode_ == Mode::kBufferedPartial && response_phase_ == ResponsePhase::kBody);
}

Outcome ExtProcStream::outcome_of_response() const {
  if (phase_ == Phase::kForeign) return Outcome::kTimedOut;
  const bool failed =
      failure_of_status(status_).has_value() || (status_ == 200 && watch_.facts().error);
  return failed ? Outcome::kUpstreamFailed : Outcome::kCompleted;
}

Outcome ExtProcStream::outcome_if_gone() const {
  if (phase_ == Phase::kForeign) return Outcome::kTimedOut;
  return rest_is_unseen() ? outcome_of_response() : Outcome::kClientGone;
}

}  // namespace fairlead::exchange
