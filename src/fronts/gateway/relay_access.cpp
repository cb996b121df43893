// SPDX-License-Identifier: Apache-2.0
// A Relay's dealings with keys, limits, web pages and compressed bodies.
#include <algorithm>
#include <utility>

#include "core/exchange/cors.h"
#include "fronts/gateway/relay.h"

namespace fairlead::gateway {
namespace {

using model::Outcome;
using model::ReplyReason;

// Of a decoded body, what a relay keeps for its next one.
constexpr std::size_t kDecodedBytesKept = std::size_t{64} << 10;
// What is decoded of a body before other work has its turn.
constexpr std::size_t kDecodedSlice = std::size_t{256} << 10;

ReplyReason reason_of(access::Refusal refusal) {
  switch (refusal) {
    case access::Refusal::kNone:
      break;
    case access::Refusal::kModel:
      return ReplyReason::kModelNotAllowed;
    case access::Refusal::kConcurrency:
      return ReplyReason::kRateLimitedConcurrency;
    case access::Refusal::kRequests:
      return ReplyReason::kRateLimitedRequests;
    case access::Refusal::kTokens:
      return ReplyReason::kRateLimitedTokens;
  }
  return ReplyReason::kNone;
}

}  // namespace

bool Relay::authenticate() {
  if (!host_.access().keys.asks_for_key()) return true;
  std::uint64_t note = exchange_->note();
  const access::Key* const key = host_.find_key(exchange_->head().headers, note);
  if (key == nullptr) {
    // Who has no key does not choose what is traced.
    trace_.clear();
    reply({ReplyReason::kUnauthorized, {}, {}});
    return false;
  }
  // The key lives as long as the rules that it is part of.
  key_ = std::shared_ptr<const access::Key>(host_.shared_access(), key);
  return true;
}

// Engines do not undo encodings, and routing needs the plain bytes anyway.
bool Relay::read_body() {
  body_ = exchange_->body();
  body_bytes_ = exchange::BodyBytes::kAsSent;
  const codec::BodyCoding coding = codec::body_coding(exchange_->head().headers);
  if (coding == codec::BodyCoding::kIdentity) return true;
  if (coding == codec::BodyCoding::kOther) {
    reply({ReplyReason::kUnsupportedEncoding, {}, {}});
    return false;
  }
  decode_room_ = kDecodedBytesMax - std::min(kDecodedBytesMax, host_.decoded_bytes());
  codec::GzipBounds bounds;
  bounds.bytes = std::min(generation_->settings.limits.body_bytes, decode_room_);
  decoder_ = host_.take_decoder();
  if (decoder_->begin(body_, bounds, decoded_) == codec::GzipStatus::kMore) return decode_slice();
  reply({ReplyReason::kOverloaded, {}, {}});
  return false;
}

// A large body takes long to decode: other requests go on in between.
bool Relay::decode_slice() {
  const codec::GzipStatus status = decoder_->step(kDecodedSlice);
  host_.decoded_bytes() += decoded_.capacity() - decoded_held_;
  decoded_held_ = decoded_.capacity();
  const bool fits = host_.decoded_bytes() <= kDecodedBytesMax;
  if (status == codec::GzipStatus::kMore && fits) {
    host_.decode_later(*this);
    return false;
  }
  host_.give_back_decoder(std::move(decoder_));
  switch (status) {
    case codec::GzipStatus::kOk:
      body_ = decoded_;
      body_bytes_ = exchange::BodyBytes::kDecoded;
      return true;
    case codec::GzipStatus::kMalformed:
      reply({ReplyReason::kBadRequest, "The body is not valid gzip.", {}});
      return false;
    case codec::GzipStatus::kTooLarge: {
      const bool by_room = decode_room_ < generation_->settings.limits.body_bytes;
      reply({by_room ? ReplyReason::kOverloaded : ReplyReason::kTooLarge, {}, {}});
      return false;
    }
    case codec::GzipStatus::kMore:
    case codec::GzipStatus::kNoMemory:
      reply({ReplyReason::kOverloaded, {}, {}});
      return false;
  }
  return false;
}

void Relay::drop_decoded() {
  if (decoder_) host_.stop_decoding(*this, std::move(decoder_));
  host_.decoded_bytes() -= std::exchange(decoded_held_, 0);
  decoded_.clear();
  if (decoded_.capacity() > kDecodedBytesKept) decoded_.shrink_to_fit();
}

bool Relay::admit() {
  if (!key_) return true;
  const model::InferenceRequest request = facts_.request();
  access::Grant grant = key_->admit(request.model, request.prompt_tokens, host_.loop().now());
  share_ = std::move(grant.share);
  if (grant.refusal == access::Refusal::kNone) return true;
  reply({reason_of(grant.refusal), {}, {}}, grant.retry_after);
  return false;
}

// What nobody answered is not charged, unless the client left while an engine was at work.
void Relay::settle(Outcome outcome, Time now) {
  if (!share_.held()) return;
  access::Spent spent;
  if (response_.held() || outcome == Outcome::kClientGone) {
    spent.prompt_tokens = facts_.request().prompt_tokens;
  }
  if (response_.held()) {
    const codec::ResponseFacts& seen = watch_.facts();
    // Without usage, an event is a token.
    spent.output_tokens = seen.data_events;
    if (seen.usage) {
      spent.prompt_tokens = seen.usage->prompt_tokens.value_or(spent.prompt_tokens);
      spent.output_tokens = seen.usage->completion_tokens.value_or(spent.output_tokens);
    }
  }
  share_.settle(spent, now);
}

void Relay::reply_preflight() {
  codec::Http1Headers& headers = host_.header_scratch();
  headers.clear();
  exchange::append_preflight(allow_origin_, exchange_->head().headers, headers);
  headers.push_back({request_id_header(), request_id_});
  conclude(204, Outcome::kCompleted);
  exchange_->send_response(204, headers, {});
  release();
}

}  // namespace fairlead::gateway
