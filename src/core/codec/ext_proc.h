// SPDX-License-Identifier: Apache-2.0
// Envoy's external processing messages (envoy.service.ext_proc.v3): ProcessingRequest decoded into
// views, ProcessingResponse encoded, without a copy of a body either way.
//
// A decoded request is views into its message; headers and metadata are still serialized and read
// field by field where something is wanted. Where a field that may occur once occurs twice, the
// last counts. An encoded reply that carries a body is its head alone: the body's bytes follow as
// the message's last, so that the transport can send them from where they lie.
// Errors: false for bytes that are no such message. Unknown fields are passed over.
// Threads: pure functions and values. Encoding allocates only to grow `out`.
// Source: envoy/service/ext_proc/v3/external_processor.proto, envoy/config/core/v3/base.proto,
// google/protobuf/struct.proto.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/http1.h"
#include "core/codec/protobuf_wire.h"

namespace fairlead::codec {

// Which of the oneof's messages; kNone: none, or one that this version does not know.
enum class ProcessingPhase : std::uint8_t {
  kNone,
  kRequestHeaders,
  kResponseHeaders,
  kRequestBody,
  kResponseBody,
  kRequestTrailers,
  kResponseTrailers,
};
inline constexpr std::size_t kProcessingPhaseCount = 7;

// ProcessingMode.BodySendMode.
enum class BodySendMode : std::uint8_t {
  kNone = 0,
  kStreamed = 1,
  kBuffered = 2,
  kBufferedPartial = 3,
  kFullDuplexStreamed = 4,
  kGrpc = 5,
};

struct ProtocolConfiguration {
  BodySendMode request_body = BodySendMode::kNone;
  BodySendMode response_body = BodySendMode::kNone;
  bool operator==(const ProtocolConfiguration&) const = default;
};

struct ProcessingRequest {
  ProcessingPhase phase = ProcessingPhase::kNone;
  bool end_of_stream = false;       // Of headers and bodies.
  bool observability_mode = false;  // No reply is wanted.
  std::string_view headers;         // A HeaderMap, of headers and trailers; see HeaderMapReader.
  std::string_view body;
  std::string_view metadata;  // A Metadata; see below.
  // In the first message of a stream, where Envoy is new enough. A mode that is not known is kGrpc,
  // which this program does not serve either.
  std::optional<ProtocolConfiguration> protocol;
};

// Replaces `out`.
[[nodiscard]] bool decode_processing_request(std::string_view message, ProcessingRequest& out);

// The headers of a serialized HeaderMap, in order. The value is raw_value, and `value` where that
// is absent.
class HeaderMapReader {
 public:
  explicit HeaderMapReader(std::string_view map) : reader_(map) {}
  [[nodiscard]] bool next(Http1Header& out);
  bool ok() const { return ok_ && reader_.ok(); }

 private:
  WireReader reader_;
  bool ok_ = true;
};

// Header, metadata key and value namespace by which endpoints are named (the endpoint picker
// protocol of the Gateway API inference extension).
inline constexpr std::string_view kDestinationHeader = "x-gateway-destination-endpoint";
inline constexpr std::string_view kScoresKey = "x-gateway-destination-endpoint-scores";
inline constexpr std::string_view kServedKey = "x-gateway-destination-endpoint-served";
inline constexpr std::string_view kSubsetKey = "x-gateway-destination-endpoint-subset";
inline constexpr std::string_view kLoadBalancerNamespace = "envoy.lb";
inline constexpr std::string_view kSubsetNamespace = "envoy.lb.subset_hint";

// A serialized google.protobuf.Value at filter_metadata[space][key], empty when there is none.
std::string_view find_metadata(std::string_view metadata, std::string_view space,
                               std::string_view key);
// Its string, empty when it is of another type.
std::string_view string_of_value(std::string_view value);

// Whether the metadata name the endpoints to choose from, as a list; then replaces `out` by its
// strings, of which there may be none. Anything else than a list says nothing, as llm-d has it. Of
// a list that has more than `items_max` strings, one more than these is read.
[[nodiscard]] bool read_subset_hint(std::string_view metadata, std::size_t items_max,
                                    std::vector<std::string_view>& out);
// The endpoint that Envoy reports to have answered; empty: not said.
std::string_view served_endpoint(std::string_view metadata);

// Which half of the exchange a reply is about.
enum class ProcessingSide : std::uint8_t { kRequest, kResponse };
enum class BodyEnd : std::uint8_t { kMore, kLast };
enum class RouteCache : std::uint8_t { kKeep, kClear };

struct HeaderChanges {
  std::span<const Http1Header> set;  // Each replaces every header of its name.
  std::span<const std::string_view> remove;
};

struct NamedNumber {
  std::string_view name;
  double value = 0;
};

// What is put beside a reply as dynamic metadata, for the balancer behind this filter.
struct Destination {
  std::string_view endpoints{};           // host:port[,host:port...]; empty: no metadata are sent.
  std::span<const NamedNumber> scores{};  // By endpoint; empty: not told.
};

// Replies to headers.
struct HeadersReply {
  ProcessingSide side = ProcessingSide::kRequest;
  HeaderChanges changes{};
  RouteCache route_cache = RouteCache::kKeep;
  Destination destination{};
};
void append_headers_reply(const HeadersReply& reply, std::string& out);

// A piece of a body in full duplex. `body_bytes` bytes must follow what is appended.
void append_streamed_head(ProcessingSide side, std::size_t body_bytes, BodyEnd end,
                          std::string& out);

// The reply to a body, or a part of one, in the other modes.
enum class BodyChange : std::uint8_t {
  kKept,
  kCleared,
  kReplaced,  // `body_bytes` bytes must follow what is appended.
};
struct BodyReply {
  ProcessingSide side = ProcessingSide::kRequest;
  HeaderChanges changes{};
  RouteCache route_cache = RouteCache::kKeep;
  Destination destination{};
  BodyChange body = BodyChange::kKept;
  std::size_t body_bytes = 0;
};
void append_body_reply(const BodyReply& reply, std::string& out);

void append_trailers_reply(ProcessingSide side, std::string& out);

// Dynamic metadata beside a reply that has none of its own. Stands before the reply in `out`.
struct MetadataNumber {
  std::string_view space;
  std::string_view key;
  double value = 0;
};
void append_metadata(std::span<const MetadataNumber> numbers, std::string& out);

struct ImmediateReply {
  int status = 500;
  std::span<const Http1Header> headers{};
  std::string_view body{};
  std::string_view details{};  // For Envoy's access log.
};
void append_immediate_reply(const ImmediateReply& reply, std::string& out);

}  // namespace fairlead::codec
