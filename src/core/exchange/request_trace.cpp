// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/request_trace.h"

#include <array>
#include <cmath>
#include <utility>

namespace fairlead::exchange {
namespace {

// Texts of clients in a span, the model's name for one.
constexpr std::size_t kTextBytesMax = 256;

// Traces begun here have random ids, so the id itself decides: the same trace, the same answer.
bool samples(codec::TraceId id, double ratio) {
  constexpr double kTwoTo56 = 72057594037927936.0;
  return static_cast<double>(id.low & 0xff'ffff'ffff'ffff) < ratio * kTwoTo56;
}

std::string_view known_method(std::string_view method) {
  constexpr std::array<std::string_view, 9> kMethods = {
      "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"};
  for (const std::string_view known : kMethods) {
    if (method == known) return known;
  }
  return "_OTHER";
}

// Of a route that has one path, this is its path.
std::string_view route_template(const AccessRecord& record) {
  if (record.route == Route::kNone) return {};
  if (record.route == Route::kModels && record.path.size() > std::string_view("/v1/models").size())
    return "/v1/models/{id}";
  return record.path;
}

std::string_view operation_of(Route route) {
  switch (route) {
    case Route::kChatCompletions:
    case Route::kMessages:
    case Route::kResponses:
      return "chat";
    case Route::kCompletions:
      return "text_completion";
    case Route::kEmbeddings:
      return "embeddings";
    default:
      return {};
  }
}

std::string span_name(const AccessRecord& record) {
  std::string name(known_method(record.method));
  const std::string_view route = route_template(record);
  if (!route.empty()) (name += ' ') += route;
  return name;
}

bool is_failure(const AccessRecord& record) {
  return record.status >= 500 || record.outcome == model::Outcome::kUpstreamFailed ||
         record.outcome == model::Outcome::kTimedOut;
}

std::string_view error_type(const AccessRecord& record) {
  if (record.reply_reason != model::ReplyReason::kNone) return to_string(record.reply_reason);
  if (record.last_failure) return to_string(*record.last_failure);
  return to_string(record.outcome);
}

void write_decision(codec::OtlpSpanWriter& writer, const picker::Decision& decision) {
  writer.text("fairlead.decision.reason", scheduling::to_string(decision.reason))
      .integer("fairlead.decision.candidates", decision.candidates)
      .integer("fairlead.decision.prompt_tokens", decision.prompt_tokens)
      .integer("fairlead.decision.predicted_cached_tokens", decision.cached_tokens)
      .real("fairlead.decision.total", static_cast<double>(decision.total))
      .real("fairlead.decision.runner_up", static_cast<double>(decision.runner_up));
}

}  // namespace

std::uint64_t UnixAnchor::nanoseconds(Time at) const {
  const auto seconds = std::floor(unix_seconds);
  const auto base = static_cast<std::int64_t>(seconds) * 1'000'000'000 +
                    static_cast<std::int64_t>((unix_seconds - seconds) * 1e9);
  return static_cast<std::uint64_t>(base + (at - now).count());
}

void RequestTrace::clear() {
  recording_ = remote_parent_ = false;
  headers_ = {};
  state_.clear();
  tries_.clear();
  first_token_.reset();
}

std::uint64_t RequestTrace::new_span() {
  for (;;) {
    if (const std::uint64_t id = random_->next(); id != 0) return id;
  }
}

codec::TraceContext RequestTrace::begin(std::span<const codec::Http1Header> headers, double ratio,
                                        Random& random) {
  clear();
  random_ = &random;
  const codec::TraceContext context = codec::read_trace_context(headers);
  using Sent = TraceHeaders::Sent;
  if (context.parent_header == codec::TraceHeader::kValid) {
    parent_ = context.parent;
    parent_.flags &= codec::kTraceSampled | codec::kTraceRandom;
    recording_ = remote_parent_ = parent_.sampled();
    if (context.state_header == codec::TraceHeader::kInvalid) headers_.state = Sent::kDropped;
  } else {
    parent_ = {{random.next(), random.next()}, 0, codec::kTraceSampled | codec::kTraceRandom};
    recording_ = parent_.trace.valid() && samples(parent_.trace, ratio);
    if (recording_ || context.parent_header == codec::TraceHeader::kInvalid) {
      headers_.parent = headers_.state = Sent::kDropped;
    }
  }
  if (!recording_) return context;
  span_ = new_span();
  headers_.parent = Sent::kDropped;
  if (context.state_header == codec::TraceHeader::kValid) {
    codec::append_trace_state(headers, state_);
  }
  return context;
}

TraceHeaders RequestTrace::begin_try(const picker::Decision& decision,
                                     std::string_view endpoint_name, std::string_view host,
                                     std::uint16_t port, Time now) {
  Try& one = tries_.emplace_back();
  one.span = new_span();
  one.began = now;
  one.decision = decision;
  one.endpoint = endpoint_name;
  one.host = host;
  one.port = port;
  own_parent_.clear();
  codec::append_trace_parent(own_parent_, {parent_.trace, one.span, parent_.flags});
  headers_.own_parent = own_parent_;
  return headers_;
}

void RequestTrace::on_resent() {
  if (!tries_.empty()) ++tries_.back().resent;
}

void RequestTrace::on_served(std::string_view endpoint_name, std::string_view host,
                             std::uint16_t port) {
  if (tries_.empty()) return;
  tries_.back().endpoint = endpoint_name;
  tries_.back().host = host;
  tries_.back().port = port;
}

void RequestTrace::on_status(int status) {
  if (!tries_.empty()) tries_.back().status = status;
}

void RequestTrace::end_try(Time now, std::optional<model::UpstreamFailure> failure) {
  if (tries_.empty() || tries_.back().ended) return;
  tries_.back().ended = now;
  tries_.back().failure = failure;
}

codec::OtlpSpans RequestTrace::end(const AccessRecord& record, std::string_view url_scheme,
                                   Time began, Time end) {
  if (!tries_.empty() && !tries_.back().ended) {
    tries_.back().cut_off = record.outcome != model::Outcome::kCompleted;
    end_try(end, std::nullopt);
  }
  const UnixAnchor anchor{end, record.unix_seconds};
  codec::OtlpSpans out;
  write_request(record, url_scheme, began, anchor, out.json);
  for (const Try& one : tries_) {
    out.json += ',';
    write_try(one, record, anchor, out.json);
  }
  out.count = 1 + static_cast<std::uint32_t>(tries_.size());
  recording_ = false;
  return out;
}

void RequestTrace::write_request(const AccessRecord& record, std::string_view url_scheme,
                                 Time began, const UnixAnchor& anchor, std::string& out) const {
  const std::string name = span_name(record);
  codec::OtlpSpanWriter writer(out);
  writer.begin(
      {.trace = parent_.trace,
       .span = span_,
       .parent = parent_.span,
       .parent_place = remote_parent_ ? codec::OtlpParent::kRemote : codec::OtlpParent::kHere,
       .trace_flags = parent_.flags,
       .trace_state = state_,
       .name = name,
       .kind = codec::OtlpSpanKind::kServer,
       .began = anchor.nanoseconds(began),
       .ended = anchor.nanoseconds(anchor.now)});
  writer.text("http.request.method", known_method(record.method))
      .text("http.route", route_template(record))
      .text("url.path", record.path.substr(0, kAccessPathBytesMax))
      .text("url.scheme", url_scheme)
      .text("client.address", record.client_address)
      .text("gen_ai.operation.name", operation_of(record.route))
      .text("gen_ai.request.model", record.model.substr(0, kTextBytesMax))
      .text("fairlead.request_id", record.request_id)
      .text("fairlead.tenant", record.tenant)
      .text("fairlead.outcome", to_string(record.outcome))
      .integer("fairlead.attempts", record.decision ? record.decision->attempts : 0);
  if (record.status != 0) {
    writer.integer("http.response.status_code", static_cast<std::uint64_t>(record.status));
  }
  if (record.usage) {
    const auto count = [&](std::string_view key, const std::optional<std::uint64_t>& tokens) {
      if (tokens) writer.integer(key, *tokens);
    };
    count("gen_ai.usage.input_tokens", record.usage->prompt_tokens);
    count("gen_ai.usage.cache_read.input_tokens", record.usage->cached_tokens);
    count("gen_ai.usage.output_tokens", record.usage->completion_tokens);
  }
  const bool failed = is_failure(record);
  if (failed) writer.text("error.type", error_type(record));
  const codec::OtlpEvent token{"first_token", first_token_ ? anchor.nanoseconds(*first_token_) : 0};
  writer.end({&token, first_token_ ? 1U : 0U},
             failed ? codec::OtlpStatus::kError : codec::OtlpStatus::kUnset, {});
}

void RequestTrace::write_try(const Try& one, const AccessRecord& record, const UnixAnchor& anchor,
                             std::string& out) const {
  const std::string name = span_name(record);
  codec::OtlpSpanWriter writer(out);
  writer.begin({.trace = parent_.trace,
                .span = one.span,
                .parent = span_,
                .trace_flags = parent_.flags,
                .trace_state = state_,
                .name = name,
                .kind = codec::OtlpSpanKind::kClient,
                .began = anchor.nanoseconds(one.began),
                .ended = anchor.nanoseconds(one.ended.value_or(anchor.now))});
  writer.text("http.request.method", known_method(record.method))
      .text("server.address", one.host)
      .integer("server.port", one.port)
      .text("fairlead.endpoint", one.endpoint);
  write_decision(writer, one.decision);
  const std::uint64_t resent = one.decision.attempts - 1 + one.resent;
  if (resent > 0) writer.integer("http.request.resend_count", resent);
  if (one.status != 0) {
    writer.integer("http.response.status_code", static_cast<std::uint64_t>(one.status));
  }
  const bool failed = one.failure.has_value() || one.cut_off || one.status >= 400;
  if (one.failure) {
    writer.text("error.type", to_string(*one.failure));
  } else if (one.cut_off) {
    writer.text("error.type", to_string(record.outcome));
  } else if (failed) {
    writer.text("error.type", std::to_string(one.status));
  }
  writer.end({}, failed ? codec::OtlpStatus::kError : codec::OtlpStatus::kUnset, {});
}

}  // namespace fairlead::exchange
