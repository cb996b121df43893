// SPDX-License-Identifier: Apache-2.0
// The words every HTTP/1.1 file of the codec shares: headers, versions, body framing, limits and
// the typed reasons for refusing a message (RFC 9110, RFC 9112).
//
// The codec is strict on purpose: where two servers could disagree about the end of a message,
// it refuses the message, so that nobody can smuggle a request past it. It never copies: names
// and values are views into the caller's bytes.
// Threads: values. No allocation but in the reused header vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fairlead::codec {

struct Http1Header {
  std::string_view name;
  std::string_view value;  // Without surrounding white space.
};
using Http1Headers = std::vector<Http1Header>;

enum class Http1Version : std::uint8_t { k10, k11 };

struct Http1Limits {
  std::size_t head_bytes = 32 * 1024;  // Start line, headers and the empty line.
  std::size_t headers = 100;
  std::size_t trailer_bytes = 8 * 1024;
  std::size_t chunk_extension_bytes = 4 * 1024;  // Summed over a whole message.
};

enum class Http1Error : std::uint8_t {
  kNone,
  // Requests and responses.
  kHeadTooLarge,
  kTooManyHeaders,
  kBareLineEnd,  // CR or LF without the other.
  kInvalidHeaderName,
  kSpaceBeforeColon,
  kMissingColon,
  kFoldedHeader,        // obs-fold.
  kInvalidHeaderValue,  // NUL or another control byte.
  kInvalidContentLength,
  kDuplicateContentLength,   // Even when the values agree.
  kLengthAndEncoding,        // Content-Length beside Transfer-Encoding.
  kInvalidTransferEncoding,  // Not exactly one `chunked`, or sent in HTTP/1.0.
  kUnsupportedTransferEncoding,
  kConnectionListTooLong,  // More options than anybody names.
  kUnsupportedVersion,
  kInvalidVersion,
  // Requests.
  kInvalidStartLine,
  kInvalidMethod,
  kInvalidTarget,
  kTargetTooLong,
  kMissingHost,
  kDuplicateHost,
  kInvalidHost,
  kUnsupportedExpectation,
  // Responses.
  kInvalidStatusLine,
  // Bodies.
  kInvalidChunkSize,
  kChunkExtensionTooLarge,
  kInvalidChunkEnd,
  kTrailersTooLarge,
  kInvalidTrailer,
};
inline constexpr std::size_t kHttp1ErrorCount =
    static_cast<std::size_t>(Http1Error::kInvalidTrailer) + 1;

// snake_case, usable as a metric label.
std::string_view to_string(Http1Error error);
// The status that answers a request refused for this reason: 400, 414, 417, 431, 501 or 505.
int status_for(Http1Error error);

enum class Http1Progress : std::uint8_t { kNeedMore, kComplete, kError };

enum class BodyKind : std::uint8_t { kNone, kLength, kChunked, kUntilClose };

// Where a message's body ends.
struct BodyFraming {
  BodyKind kind = BodyKind::kNone;
  std::uint64_t length = 0;  // Bytes, for kLength only.

  static constexpr BodyFraming none() { return {}; }
  static constexpr BodyFraming of_length(std::uint64_t bytes) { return {BodyKind::kLength, bytes}; }
  static constexpr BodyFraming chunked() { return {BodyKind::kChunked, 0}; }
  static constexpr BodyFraming until_close() { return {BodyKind::kUntilClose, 0}; }
  bool operator==(const BodyFraming&) const = default;
};

// ASCII only, as header names and tokens are. `lower` must be lower case already.
bool equals_ignore_case(std::string_view text, std::string_view lower);

// The first header of this lower-case name; nullptr when there is none.
const Http1Header* find_header(std::span<const Http1Header> headers, std::string_view lower_name);
// Its value, or an empty view.
std::string_view header_value(std::span<const Http1Header> headers, std::string_view lower_name);

// Whether a comma-separated list (Connection, TE) names the lower-case token.
bool list_contains(std::string_view list, std::string_view lower_token);

// Whether a proxy must not forward this header: the fixed list of RFC 9110 §7.6.1 and whatever a
// Connection header among `headers` names.
bool is_hop_by_hop(std::string_view name, std::span<const Http1Header> headers);

// Whether the bytes can stand in a header value: no control byte but HTAB.
bool is_field_value(std::string_view value);
// Whether the bytes are a token (method or header name), not empty.
bool is_token(std::string_view text);

}  // namespace fairlead::codec
