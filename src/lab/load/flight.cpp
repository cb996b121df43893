// SPDX-License-Identifier: Apache-2.0
#include "lab/load/flight.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/codec/http1.h"

namespace fairlead::load {
namespace {

// Our gateway names the endpoint it chose with this header.
constexpr std::string_view kEndpointHeader = "x-fairlead-endpoint";
constexpr int kAttemptsMax = 2;

std::uint32_t bounded(std::uint64_t count) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint32_t>::max() / 2;
  return static_cast<std::uint32_t>(std::min(count, kMax));
}

Outcome outcome_of(net::UpstreamFailure failure) {
  switch (failure) {
    case net::UpstreamFailure::kConnectRefused:
    case net::UpstreamFailure::kConnectTimeout:
    case net::UpstreamFailure::kConnectFailed:
    case net::UpstreamFailure::kConnectionLimit:
    case net::UpstreamFailure::kTlsFailed:
      return Outcome::kConnectFailed;
    case net::UpstreamFailure::kReplyTimeout:
    case net::UpstreamFailure::kIdleTimeout:
    case net::UpstreamFailure::kTotalTimeout:
      return Outcome::kTimedOut;
    case net::UpstreamFailure::kMalformed:
      return Outcome::kMalformed;
    case net::UpstreamFailure::kStale:
    case net::UpstreamFailure::kClosedBeforeReply:
    case net::UpstreamFailure::kResetMidReply:
    case net::UpstreamFailure::kTruncated:
      return Outcome::kStreamBroken;
  }
  return Outcome::kStreamBroken;
}

}  // namespace

Flight::Flight(net::UpstreamPool& pool, FlightOwner& owner, const FlightSettings& settings)
    : pool_(pool), owner_(owner), settings_(settings), request_(pool, *this) {}

void Flight::begin(const RequestWriter& writer, std::span<const PromptPart> prompt,
                   std::uint32_t output_tokens, RequestRecord record) {
  record_ = std::move(record);
  endpoint_.clear();
  attempts_ = 0;
  writer.write(prompt, output_tokens, head_, body_);
  record_.sent = clock_.now();
  send();
}

void Flight::send() {
  ++attempts_;
  scanner_.restart();
  arrivals_.clear();
  events_seen_ = 0;
  usage_seen_ = false;
  net::UpstreamCall call;
  call.pieces[0] = head_;
  call.pieces[1] = body_;
  call.connect_timeout = settings_.connect_timeout;
  call.reply_timeout = call.idle_timeout = call.total_timeout = settings_.total_timeout;
  request_.start(settings_.address, call);
}

void Flight::cancel() {
  request_.cancel();
  settle(Outcome::kCancelled);
}

void Flight::on_response_head(const codec::Http1ResponseHead& head) {
  record_.status = static_cast<std::uint16_t>(head.status);
  for (const codec::Http1Header& header : head.headers) {
    if (codec::equals_ignore_case(header.name, kEndpointHeader)) endpoint_ = header.value;
  }
}

void Flight::on_body(std::string_view, std::span<const std::string_view> payload) {
  if (record_.status != 200) return;
  for (const std::string_view piece : payload) scanner_.feed(piece);
  note_events();
}

void Flight::note_events() {
  const codec::ResponseFacts& facts = scanner_.facts();
  std::uint64_t fresh = facts.data_events - events_seen_;
  events_seen_ = facts.data_events;
  if (!facts.first_token) return;  // Roles and the like.
  // What came in one read with the first text may be the role before it.
  if (arrivals_.empty()) fresh = 1;
  if (facts.usage && !usage_seen_) {
    usage_seen_ = true;
    // The event that brings the usage has no text.
    if (fresh > 0 && !arrivals_.empty()) --fresh;
  }
  if (fresh == 0) return;
  const Time now = clock_.now();
  arrivals_.push_back({now, bounded(fresh)});
  owner_.on_text(now - pool_.loop().now());
}

Outcome Flight::judge() const {
  const codec::ResponseFacts& facts = scanner_.facts();
  if (record_.status != 200) return Outcome::kHttpError;
  if (facts.error) return Outcome::kErrorEvent;
  if (!facts.first_token) return Outcome::kMalformed;
  return facts.done ? Outcome::kOk : Outcome::kStreamBroken;
}

void Flight::settle(Outcome outcome) {
  record_.finished = clock_.now();
  record_.outcome = outcome;
  const codec::ResponseFacts& facts = scanner_.facts();
  std::uint64_t tokens = 0;
  for (const ChunkArrival& arrival : arrivals_) tokens += arrival.events;
  if (facts.usage) {
    // Servers without cached_tokens leave the hit rate at 0; the plan stands in for the rest.
    if (facts.usage->prompt_tokens) record_.prompt_tokens = bounded(*facts.usage->prompt_tokens);
    if (facts.usage->cached_tokens) record_.cached_tokens = bounded(*facts.usage->cached_tokens);
    if (facts.usage->completion_tokens) tokens = *facts.usage->completion_tokens;
  }
  settle_tokens(record_, arrivals_, bounded(tokens));
}

void Flight::on_complete() {
  settle(judge());
  owner_.on_flight_end(*this);
}

void Flight::on_failed(const net::UpstreamError& error) {
  if (error.failure == net::UpstreamFailure::kStale && attempts_ < kAttemptsMax) return send();
  settle(outcome_of(error.failure));
  owner_.on_flight_end(*this);
}

}  // namespace fairlead::load
