// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/error_reply.h"

#include <algorithm>
#include <chrono>

#include "core/codec/json_text.h"

namespace fairlead::exchange {
namespace {

using model::ReplyReason;

std::string_view type_of(int status) {
  if (status == 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

std::string_view anthropic_type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

// OpenAI's own codes where it has one.
std::string_view code_of(ReplyReason reason) {
  switch (reason) {
    case ReplyReason::kUnknownModel:
      return "model_not_found";
    case ReplyReason::kUnauthorized:
      return "invalid_api_key";
    case ReplyReason::kRateLimitedRequests:
    case ReplyReason::kRateLimitedTokens:
    case ReplyReason::kRateLimitedConcurrency:
      return "rate_limit_exceeded";
    default:
      return model::to_string(reason);
  }
}

std::string_view param_of(const ErrorText& error) {
  if (!error.param.empty()) return error.param;
  const bool about_model =
      error.reason == ReplyReason::kUnknownModel || error.reason == ReplyReason::kModelNotAllowed;
  return about_model ? "model" : std::string_view();
}

}  // namespace

std::string_view default_message(ReplyReason reason) {
  switch (reason) {
    case ReplyReason::kNone:
      return "No error.";
    case ReplyReason::kNoEndpoint:
      return "No healthy engine can take this request now. Try again shortly.";
    case ReplyReason::kUnknownModel:
      return "No engine serves this model. GET /v1/models lists those that are served.";
    case ReplyReason::kFilteredOut:
      return "Every engine is excluded by the routing policy now. Try again shortly.";
    case ReplyReason::kSaturated:
      return "The engines are busy and this request may be shed. Try again after Retry-After.";
    case ReplyReason::kUpstreamFailed:
      return "The engine failed before it finished the answer. Try again.";
    case ReplyReason::kUpstreamTimeout:
      return "The engine did not answer in time.";
    case ReplyReason::kBadRequest:
      return "The request is malformed.";
    case ReplyReason::kTooLarge:
      return "The request body is larger than this server accepts.";
    case ReplyReason::kHeaderTooLarge:
      return "The request's headers are larger than this server accepts.";
    case ReplyReason::kNotFound:
      return "There is no such path. This server routes the OpenAI API and Anthropic's messages "
             "under /v1/.";
    case ReplyReason::kMethodNotAllowed:
      return "This path does not take this method; see the Allow header.";
    case ReplyReason::kOverloaded:
      return "The server is at one of its limits. Try again shortly.";
    case ReplyReason::kDraining:
      return "The server is shutting down. Try again; another instance will answer.";
    case ReplyReason::kRequestTimeout:
      return "The request did not arrive in time.";
    case ReplyReason::kUnauthorized:
      return "The API key is missing or unknown. Send one as 'Authorization: Bearer KEY'.";
    case ReplyReason::kModelNotAllowed:
      return "This API key may not use this model.";
    case ReplyReason::kRateLimitedRequests:
      return "This API key has used up its requests per minute. Try again after Retry-After.";
    case ReplyReason::kRateLimitedTokens:
      return "This API key has used up its tokens per minute. Try again after Retry-After.";
    case ReplyReason::kRateLimitedConcurrency:
      return "This API key has as many requests running as it may. Try again when one has ended.";
    case ReplyReason::kUnsupportedEncoding:
      return "The body's Content-Encoding is not supported. Send it plain, or as gzip.";
    case ReplyReason::kUpgradeRequired:
      return "This path is a WebSocket: send a handshake of version 13 over HTTP/1.1.";
    case ReplyReason::kOriginNotAllowed:
      return "Web pages of this origin may not open a WebSocket here.";
    case ReplyReason::kNotCached:
      return "The chosen engine has no part of this prompt cached, and the request asks to be "
             "answered only then (Prefer: if-available).";
  }
  return "The request failed.";
}

void append_error(const ErrorText& error, ErrorShape shape, std::string& out) {
  const int status = model::http_status(error.reason);
  const std::string_view message =
      error.message.empty() ? default_message(error.reason) : error.message;
  if (shape == ErrorShape::kAnthropic) {
    codec::JsonWriter json(out);
    json.begin_object().key("type").string("error").key("error").begin_object();
    json.key("type").string(anthropic_type_of(status)).key("message").string(message);
    json.end_object().end_object();
    return;
  }
  codec::append_error_body(out, {.message = message,
                                 .type = type_of(status),
                                 .param = param_of(error),
                                 .code = code_of(error.reason),
                                 .status = status});
}

void append_error_event(const ErrorText& error, ErrorShape shape, std::string& out) {
  out += shape == ErrorShape::kAnthropic ? "event: error\ndata: " : "data: ";
  append_error(error, shape, out);
  out += "\n\n";
}

std::string_view dropped_reason(ReplyReason reason) {
  switch (reason) {
    case ReplyReason::kNoEndpoint:
      return "rejected-no-endpoints";
    case ReplyReason::kFilteredOut:
    case ReplyReason::kSaturated:
    case ReplyReason::kOverloaded:
      return "rejected-saturated";
    case ReplyReason::kDraining:
      return "rejected-shutting-down";
    default:
      return {};
  }
}

std::uint64_t retry_after_seconds(ReplyReason reason, Duration wanted) {
  const int status = model::http_status(reason);
  if (status != 429 && status != 503) return 0;
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(wanted).count();
  return static_cast<std::uint64_t>(std::max<std::int64_t>(seconds, 1));
}

}  // namespace fairlead::exchange
