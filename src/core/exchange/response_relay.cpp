// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/response_relay.h"

#include <algorithm>

namespace fairlead::exchange {
namespace {

// Of "text/event-stream; charset=utf-8" the part before the parameters.
ResponseForm form_of(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  if (codec::equals_ignore_case(type, "text/event-stream")) return ResponseForm::kEventStream;
  if (codec::equals_ignore_case(type, "application/json")) return ResponseForm::kJson;
  return ResponseForm::kOther;
}

}  // namespace

picker::Replay replay_rule(ClientSaw client, std::size_t body_bytes, std::size_t buffer_bytes) {
  return client == ClientSaw::kNothing && body_bytes <= buffer_bytes ? picker::Replay::kPossible
                                                                     : picker::Replay::kImpossible;
}

bool is_failed_try(int status) { return status == 502 || status == 503; }

std::optional<model::UpstreamFailure> failure_of_status(int status) {
  if (status == 500) return model::UpstreamFailure::kInternalError;
  if (is_failed_try(status)) return model::UpstreamFailure::kServerError;
  return std::nullopt;
}

void ResponseWatch::begin(const codec::Http1ResponseHead& head, Route route) {
  form_ = form_of(codec::header_value(head.headers, "content-type"));
  tells_tokens_ = route != Route::kSpeech && route != Route::kGenerate;
  any_byte_ = false;
  newlines_ = 2;
  framing_ = Framing::kChunkEnd;
  const bool typed = route == Route::kMessages || route == Route::kResponses;
  sse_.restart(typed                       ? codec::EventStyle::kTyped
               : route == Route::kGenerate ? codec::EventStyle::kGenerated
                                           : codec::EventStyle::kUntyped);
  json_.restart();
}

const codec::ResponseFacts& ResponseWatch::facts() const {
  return form_ == ResponseForm::kEventStream ? sse_.facts() : json_.facts();
}

bool ResponseWatch::first_token() const {
  if (form_ == ResponseForm::kEventStream && tells_tokens_) return sse_.facts().first_token;
  return any_byte_;
}

void ResponseWatch::feed(std::string_view raw, std::span<const std::string_view> payload) {
  for (const std::string_view piece : payload) {
    if (piece.empty()) continue;
    any_byte_ = true;
    if (form_ == ResponseForm::kEventStream) follow_lines(piece);
    if (form_ == ResponseForm::kEventStream) sse_.feed(piece);
    if (form_ == ResponseForm::kJson) json_.feed(piece);
  }
  if (form_ != ResponseForm::kEventStream) return;
  if (payload.empty()) return follow_framing(raw);
  const std::string_view last = payload.back();
  framing_ = Framing::kData;
  follow_framing(raw.substr(static_cast<std::size_t>(last.data() + last.size() - raw.data())));
}

void ResponseWatch::follow_lines(std::string_view piece) {
  // Only the end matters, and only its last two line ends.
  std::uint8_t found = 0;
  for (std::size_t i = piece.size(); i > 0; --i) {
    const char c = piece[i - 1];
    if (c == '\n') {
      if (++found == 2) break;
    } else if (c != '\r') {
      newlines_ = found;
      return;
    }
  }
  newlines_ = static_cast<std::uint8_t>(std::min(2, newlines_ + found));
}

void ResponseWatch::follow_framing(std::string_view bytes) {
  for (const char c : bytes) {
    if (framing_ == Framing::kData && c == '\r') {
      framing_ = Framing::kCr;
    } else if (framing_ == Framing::kCr && c == '\n') {
      framing_ = Framing::kChunkEnd;
    } else {
      framing_ = Framing::kElsewhere;
      return;
    }
  }
}

}  // namespace fairlead::exchange
