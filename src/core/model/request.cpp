// SPDX-License-Identifier: Apache-2.0
#include "core/model/request.h"

namespace fairlead::model {

std::string_view InferenceRequest::header(std::string_view lower_name) const {
  for (auto header = headers.rbegin(); header != headers.rend(); ++header) {
    if (header->name == lower_name) return header->value;
  }
  return {};
}

std::string_view to_string(UpstreamFailure failure) {
  switch (failure) {
    case UpstreamFailure::kConnectRefused:
      return "connect_refused";
    case UpstreamFailure::kConnectTimeout:
      return "connect_timeout";
    case UpstreamFailure::kStaleConnection:
      return "stale_connection";
    case UpstreamFailure::kResetBeforeResponse:
      return "reset_before_response";
    case UpstreamFailure::kResponseTimeout:
      return "response_timeout";
    case UpstreamFailure::kMalformedResponse:
      return "malformed_response";
    case UpstreamFailure::kServerError:
      return "server_error";
    case UpstreamFailure::kResetMidBody:
      return "reset_mid_body";
    case UpstreamFailure::kInternalError:
      return "internal_error";
    case UpstreamFailure::kTlsFailed:
      return "tls_failed";
  }
  return "unknown";
}

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::kCompleted:
      return "completed";
    case Outcome::kClientGone:
      return "client_gone";
    case Outcome::kUpstreamFailed:
      return "upstream_failed";
    case Outcome::kTimedOut:
      return "timed_out";
    case Outcome::kHandedOver:
      return "handed_over";
    case Outcome::kRejected:
      return "rejected";
  }
  return "unknown";
}

std::string_view to_string(ReplyReason reason) {
  switch (reason) {
    case ReplyReason::kNone:
      return "none";
    case ReplyReason::kNoEndpoint:
      return "no_endpoint";
    case ReplyReason::kUnknownModel:
      return "unknown_model";
    case ReplyReason::kFilteredOut:
      return "filtered_out";
    case ReplyReason::kSaturated:
      return "saturated";
    case ReplyReason::kUpstreamFailed:
      return "upstream_failed";
    case ReplyReason::kUpstreamTimeout:
      return "upstream_timeout";
    case ReplyReason::kBadRequest:
      return "bad_request";
    case ReplyReason::kTooLarge:
      return "too_large";
    case ReplyReason::kHeaderTooLarge:
      return "header_too_large";
    case ReplyReason::kNotFound:
      return "not_found";
    case ReplyReason::kMethodNotAllowed:
      return "method_not_allowed";
    case ReplyReason::kOverloaded:
      return "overloaded";
    case ReplyReason::kDraining:
      return "draining";
    case ReplyReason::kRequestTimeout:
      return "request_timeout";
    case ReplyReason::kUnauthorized:
      return "unauthorized";
    case ReplyReason::kModelNotAllowed:
      return "model_not_allowed";
    case ReplyReason::kRateLimitedRequests:
      return "rate_limited_requests";
    case ReplyReason::kRateLimitedTokens:
      return "rate_limited_tokens";
    case ReplyReason::kRateLimitedConcurrency:
      return "rate_limited_concurrency";
    case ReplyReason::kUnsupportedEncoding:
      return "unsupported_encoding";
    case ReplyReason::kUpgradeRequired:
      return "upgrade_required";
    case ReplyReason::kOriginNotAllowed:
      return "origin_not_allowed";
    case ReplyReason::kNotCached:
      return "not_cached";
  }
  return "unknown";
}

int http_status(ReplyReason reason) {
  switch (reason) {
    case ReplyReason::kNone:
      return 200;
    case ReplyReason::kNoEndpoint:
    case ReplyReason::kOverloaded:
    case ReplyReason::kDraining:
      return 503;
    case ReplyReason::kUnknownModel:
    case ReplyReason::kNotFound:
      return 404;
    case ReplyReason::kFilteredOut:
    case ReplyReason::kSaturated:
    case ReplyReason::kRateLimitedRequests:
    case ReplyReason::kRateLimitedTokens:
    case ReplyReason::kRateLimitedConcurrency:
      return 429;
    case ReplyReason::kUpstreamFailed:
      return 502;
    case ReplyReason::kUpstreamTimeout:
      return 504;
    case ReplyReason::kBadRequest:
      return 400;
    case ReplyReason::kNotCached:
      return 412;
    case ReplyReason::kTooLarge:
      return 413;
    case ReplyReason::kHeaderTooLarge:
      return 431;
    case ReplyReason::kMethodNotAllowed:
      return 405;
    case ReplyReason::kRequestTimeout:
      return 408;
    case ReplyReason::kUnauthorized:
      return 401;
    case ReplyReason::kModelNotAllowed:
    case ReplyReason::kOriginNotAllowed:
      return 403;
    case ReplyReason::kUpgradeRequired:
      return 426;
    case ReplyReason::kUnsupportedEncoding:
      return 415;
  }
  return 500;
}

}  // namespace fairlead::model
