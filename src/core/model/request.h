// SPDX-License-Identifier: Apache-2.0
// The facts of one request and of its fate, as plain values that every front produces and the
// picker consumes. Views point into the front's buffers and are valid during the call only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/time.h"
#include "core/model/endpoint.h"

namespace fairlead::model {

enum class Streaming : std::uint8_t { kWhole, kStreamed };

struct RequestHeader {
  std::string_view name;  // Lower case.
  std::string_view value;
};

// An image, a sound or a film in a prompt.
struct MediaItem {
  std::uint64_t hash = 0;   // Of its bytes as the client wrote them.
  std::uint64_t bytes = 0;  // As many.
};
inline constexpr std::size_t kMaxMediaItems = 64;  // Of a request; more are not looked at.
// Remembered of an endpoint, the last ones: as many as llm-d lets 4,096 MB hold, at 2 MiB each.
inline constexpr std::size_t kMediaItemsKept = 2048;

struct InferenceRequest {
  std::string_view model;               // Model or adapter id to be served, after any rewrite.
  std::string_view session;             // Affinity token the client sent back; empty when none.
  std::span<const std::uint64_t> keys;  // Chained prefix keys, one per whole block.
  std::uint64_t prompt_tokens = 0;      // Exact, or bytes / 4.
  std::uint32_t block_tokens = 1;       // Tokens one key stands for.
  std::uint64_t max_output_tokens = 0;  // 0: not stated.
  Streaming streaming = Streaming::kWhole;
  // Holds state that the request names: it alone can serve it, and gets it where it takes traffic.
  std::optional<EndpointRef> holder{};
  // The slots of the endpoints among which a proxy wants one to be chosen, ascending; unset: all.
  std::optional<std::span<const std::uint32_t>> only_slots{};
  std::string_view id{};  // What client and logs call it; nothing is decided by it.
  // Below 0: may be shed when the pool is busy. A front without objectives leaves 0.
  std::int32_t priority = 0;
  std::string_view objective{};  // Its name, from which the priority came; empty when none.
  // Worth serving only where a part of the prompt is cached: otherwise refused.
  bool only_if_cached = false;
  // As many as the front's own limits let through; empty from a front that hands none on, which
  // then does not fill scheduling::Column::kHeaders.
  std::span<const RequestHeader> headers{};
  std::span<const MediaItem> media{};  // At most kMaxMediaItems.
  // Chained keys of the whole blocks of its tokens, `token_block` tokens each, by which is asked
  // what engines say they hold; empty: it was not tokenized.
  std::span<const std::uint64_t> token_keys{};
  std::uint32_t token_block = 0;

  // The last one's value, empty when there is none.
  std::string_view header(std::string_view lower_name) const;
};

// How one try at one endpoint failed.
enum class UpstreamFailure : std::uint8_t {
  kConnectRefused,
  kConnectTimeout,
  kStaleConnection,  // A pooled connection died before it carried a response byte.
  kResetBeforeResponse,
  kResponseTimeout,
  kMalformedResponse,
  kServerError,    // 502 or 503 from the engine.
  kResetMidBody,   // After response bytes: not retryable.
  kInternalError,  // 500 from the engine, which may be the request's own fault: not retryable.
  kTlsFailed,      // The handshake did; nothing was sent.
};
inline constexpr std::size_t kUpstreamFailureCount = 10;

std::string_view to_string(UpstreamFailure failure);

// How a request ended, the value of the `outcome` metric label and of the access log.
enum class Outcome : std::uint8_t {
  kCompleted,
  kClientGone,
  kUpstreamFailed,
  kTimedOut,
  kRejected,    // Answered by us without reaching an engine, see ReplyReason.
  kHandedOver,  // Left to a proxy that tells nothing of its end.
};

std::string_view to_string(Outcome outcome);

// Why we answered ourselves; the value of the x-fairlead-reason header.
enum class ReplyReason : std::uint8_t {
  kNone,
  kNoEndpoint,              // The pool is empty or nothing is healthy: 503.
  kUnknownModel,            // 404.
  kFilteredOut,             // Every endpoint was removed by a filter: 429, as llm-d.
  kSaturated,               // 429, an admitter shed a request of negative priority.
  kUpstreamFailed,          // All tries failed: 502.
  kUpstreamTimeout,         // 504.
  kBadRequest,              // 400.
  kTooLarge,                // 413.
  kHeaderTooLarge,          // 431.
  kNotFound,                // 404, no such route.
  kMethodNotAllowed,        // 405.
  kOverloaded,              // 503, a bound of ours is reached.
  kDraining,                // 503, we are shutting down.
  kRequestTimeout,          // 408, the client was too slow.
  kUnauthorized,            // 401, no key or an unknown one.
  kModelNotAllowed,         // 403, not with this key.
  kRateLimitedRequests,     // 429, of the key, as the next two.
  kRateLimitedTokens,       // 429
  kRateLimitedConcurrency,  // 429
  kUnsupportedEncoding,     // 415, a body neither plain nor gzip.
  kUpgradeRequired,         // 426, a route that is a WebSocket.
  kOriginNotAllowed,        // 403, a web page that may not open one.
  kNotCached,               // 412, the client wants an answer only from a cache.
};
inline constexpr std::size_t kReplyReasonCount = 24;

std::string_view to_string(ReplyReason reason);
int http_status(ReplyReason reason);

// What a worker saw of an endpoint, sent to control through a bounded ring.
struct Observation {
  enum class Kind : std::uint8_t { kSuccess, kFailure };
  EndpointRef endpoint;
  Kind kind = Kind::kSuccess;
  UpstreamFailure failure = UpstreamFailure::kConnectRefused;
  Time at{};
};

}  // namespace fairlead::model
