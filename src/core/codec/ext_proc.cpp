// SPDX-License-Identifier: Apache-2.0
#include "core/codec/ext_proc.h"

#include <algorithm>
#include <array>

namespace fairlead::codec {
namespace {

// Field numbers, one namespace a message.
namespace request_field {
constexpr std::uint32_t kMetadataContext = 8;
constexpr std::uint32_t kObservabilityMode = 10;
constexpr std::uint32_t kProtocolConfig = 11;
}  // namespace request_field
namespace reply_field {
constexpr std::uint32_t kImmediateResponse = 7;
constexpr std::uint32_t kDynamicMetadata = 8;
}  // namespace reply_field
namespace common_field {
constexpr std::uint32_t kHeaderMutation = 2;
constexpr std::uint32_t kBodyMutation = 3;
constexpr std::uint32_t kClearRouteCache = 5;
}  // namespace common_field
namespace mutation_field {
constexpr std::uint32_t kSetHeaders = 1;
constexpr std::uint32_t kRemoveHeaders = 2;
constexpr std::uint32_t kBody = 1;
constexpr std::uint32_t kClearBody = 2;
constexpr std::uint32_t kStreamedResponse = 3;
}  // namespace mutation_field
namespace immediate_field {
constexpr std::uint32_t kStatus = 1;
constexpr std::uint32_t kHeaders = 2;
constexpr std::uint32_t kBody = 3;
constexpr std::uint32_t kDetails = 5;
}  // namespace immediate_field
namespace value_field {
constexpr std::uint32_t kNumber = 2;
constexpr std::uint32_t kString = 3;
constexpr std::uint32_t kStruct = 5;
constexpr std::uint32_t kList = 6;
}  // namespace value_field

// The first field of a message that wraps another: HeadersResponse.response, Struct.fields, a map
// entry's key, HttpStatus.code, ...
constexpr std::uint32_t kFirst = 1;
// A map entry's value.
constexpr std::uint32_t kMapValue = 2;

// Fields 2 to 7 of ProcessingRequest, in this order.
constexpr std::uint32_t kFirstPhaseField = 2;
constexpr std::array kPhases = {
    ProcessingPhase::kRequestHeaders,  ProcessingPhase::kResponseHeaders,
    ProcessingPhase::kRequestBody,     ProcessingPhase::kResponseBody,
    ProcessingPhase::kRequestTrailers, ProcessingPhase::kResponseTrailers};

bool is_body(ProcessingPhase phase) {
  return phase == ProcessingPhase::kRequestBody || phase == ProcessingPhase::kResponseBody;
}

// HttpHeaders, HttpBody or HttpTrailers: one message or bytes in field 1, and the end in field 3
// of headers and 2 of bodies.
bool decode_phase(ProcessingPhase phase, std::string_view message, ProcessingRequest& out) {
  out.phase = phase;
  out.headers = {};
  out.body = {};
  out.end_of_stream = false;
  const std::uint32_t end_field = is_body(phase) ? 2 : 3;
  WireReader reader(message);
  while (reader.next()) {
    if (reader.is_bytes(kFirst)) (is_body(phase) ? out.body : out.headers) = reader.bytes();
    if (reader.is_varint(end_field)) out.end_of_stream = reader.number() != 0;
  }
  return reader.ok();
}

BodySendMode mode_of(std::uint64_t number) {
  constexpr auto kLast = static_cast<std::uint64_t>(BodySendMode::kGrpc);
  return static_cast<BodySendMode>(std::min(number, kLast));
}

bool decode_protocol(std::string_view message, ProcessingRequest& out) {
  ProtocolConfiguration protocol;
  WireReader reader(message);
  while (reader.next()) {
    if (reader.is_varint(1)) protocol.request_body = mode_of(reader.number());
    if (reader.is_varint(2)) protocol.response_body = mode_of(reader.number());
  }
  out.protocol = protocol;
  return reader.ok();
}

// The value of a key in a map from strings to messages, which is field 1 of `message`.
std::string_view find_in_map(std::string_view message, std::string_view key) {
  std::string_view found;
  WireReader entries(message);
  while (entries.next()) {
    if (!entries.is_bytes(kFirst)) continue;
    std::string_view name;
    std::string_view value;
    WireReader entry(entries.bytes());
    while (entry.next()) {
      if (entry.is_bytes(kFirst)) name = entry.bytes();
      if (entry.is_bytes(kMapValue)) value = entry.bytes();
    }
    if (entry.ok() && name == key) found = value;
  }
  return found;
}

void write_header_value(WireWriter& writer, std::uint32_t field, const Http1Header& header) {
  const std::size_t begun = writer.begin(field);
  writer.bytes(1, header.name);
  // raw_value, which Envoy takes where its newer defaults refuse `value`.
  writer.bytes(3, header.value);
  writer.end(begun);
}

void write_changes(WireWriter& writer, std::uint32_t field, const HeaderChanges& changes) {
  if (changes.set.empty() && changes.remove.empty()) return;
  const std::size_t begun = writer.begin(field);
  for (const Http1Header& header : changes.set) {
    const std::size_t option = writer.begin(mutation_field::kSetHeaders);
    // Neither append nor append_action: in this filter that means to overwrite.
    write_header_value(writer, kFirst, header);
    writer.end(option);
  }
  for (const std::string_view name : changes.remove) {
    writer.bytes(mutation_field::kRemoveHeaders, name);
  }
  writer.end(begun);
}

// Opens an entry of a Struct and its Value; end with close_entry.
struct OpenEntry {
  std::size_t entry;
  std::size_t value;
};
OpenEntry open_entry(WireWriter& writer, std::string_view key) {
  const std::size_t entry = writer.begin(kFirst);
  writer.bytes(kFirst, key);
  return {entry, writer.begin(kMapValue)};
}
void close_entry(WireWriter& writer, OpenEntry open) {
  writer.end(open.value);
  writer.end(open.entry);
}

void write_number(WireWriter& writer, std::string_view key, double value) {
  const OpenEntry entry = open_entry(writer, key);
  writer.real(value_field::kNumber, value);
  close_entry(writer, entry);
}

void write_scores(WireWriter& writer, std::span<const NamedNumber> scores) {
  if (scores.empty()) return;
  const OpenEntry entry = open_entry(writer, kScoresKey);
  const std::size_t fields = writer.begin(value_field::kStruct);
  for (const NamedNumber& score : scores) write_number(writer, score.name, score.value);
  writer.end(fields);
  close_entry(writer, entry);
}

void write_destination(WireWriter& writer, const Destination& destination) {
  if (destination.endpoints.empty()) return;
  const std::size_t metadata = writer.begin(reply_field::kDynamicMetadata);
  const OpenEntry space = open_entry(writer, kLoadBalancerNamespace);
  const std::size_t fields = writer.begin(value_field::kStruct);
  const OpenEntry endpoints = open_entry(writer, kDestinationHeader);
  writer.bytes(value_field::kString, destination.endpoints);
  close_entry(writer, endpoints);
  write_scores(writer, destination.scores);
  writer.end(fields);
  close_entry(writer, space);
  writer.end(metadata);
}

// The oneof's fields of ProcessingResponse: headers 1 and 2, bodies 3 and 4, trailers 5 and 6.
std::uint32_t reply_to(ProcessingSide side, std::uint32_t first) {
  return first + (side == ProcessingSide::kResponse ? 1 : 0);
}

}  // namespace

bool decode_processing_request(std::string_view message, ProcessingRequest& out) {
  out = {};
  WireReader reader(message);
  while (reader.next()) {
    if (reader.type() == WireType::kBytes) {
      const std::uint32_t index = reader.field() - kFirstPhaseField;
      if (index < kPhases.size() && !decode_phase(kPhases[index], reader.bytes(), out)) {
        return false;
      }
    }
    if (reader.is_bytes(request_field::kMetadataContext)) out.metadata = reader.bytes();
    if (reader.is_varint(request_field::kObservabilityMode)) {
      out.observability_mode = reader.number() != 0;
    }
    if (reader.is_bytes(request_field::kProtocolConfig) && !decode_protocol(reader.bytes(), out)) {
      return false;
    }
  }
  return reader.ok();
}

bool HeaderMapReader::next(Http1Header& out) {
  while (ok_ && reader_.next()) {
    if (!reader_.is_bytes(kFirst)) continue;
    out = {};
    std::string_view raw;
    WireReader header(reader_.bytes());
    while (header.next()) {
      if (header.is_bytes(1)) out.name = header.bytes();
      if (header.is_bytes(2)) out.value = header.bytes();
      if (header.is_bytes(3)) raw = header.bytes();
    }
    ok_ = header.ok();
    if (!raw.empty()) out.value = raw;
    return ok_;
  }
  return false;
}

std::string_view find_metadata(std::string_view metadata, std::string_view space,
                               std::string_view key) {
  return find_in_map(find_in_map(metadata, space), key);
}

std::string_view string_of_value(std::string_view value) {
  std::string_view text;
  WireReader reader(value);
  // The type is a oneof: the last field decides.
  while (reader.next()) {
    text = reader.is_bytes(value_field::kString) ? reader.bytes() : std::string_view();
  }
  return reader.ok() ? text : std::string_view();
}

bool read_subset_hint(std::string_view metadata, std::size_t items_max,
                      std::vector<std::string_view>& out) {
  if (metadata.empty()) return false;
  WireReader value(find_metadata(metadata, kSubsetNamespace, kSubsetKey));
  bool is_list = false;
  std::string_view list;
  while (value.next()) {
    is_list = value.is_bytes(value_field::kList);
    list = is_list ? value.bytes() : std::string_view();
  }
  if (!is_list || !value.ok()) return false;
  out.clear();
  WireReader items(list);
  while (out.size() <= items_max && items.next()) {
    if (!items.is_bytes(kFirst)) continue;
    const std::string_view text = string_of_value(items.bytes());
    if (!text.empty()) out.push_back(text);
  }
  return items.ok();
}

std::string_view served_endpoint(std::string_view metadata) {
  if (metadata.empty()) return {};
  return string_of_value(find_metadata(metadata, kLoadBalancerNamespace, kServedKey));
}

void append_headers_reply(const HeadersReply& reply, std::string& out) {
  WireWriter writer(out);
  write_destination(writer, reply.destination);
  const std::size_t headers = writer.begin(reply_to(reply.side, 1));
  const std::size_t common = writer.begin(kFirst);
  write_changes(writer, common_field::kHeaderMutation, reply.changes);
  if (reply.route_cache == RouteCache::kClear) writer.varint(common_field::kClearRouteCache, 1);
  writer.end(common);
  writer.end(headers);
}

void append_streamed_head(ProcessingSide side, std::size_t body_bytes, BodyEnd end,
                          std::string& out) {
  WireWriter writer(out);
  const std::size_t body = writer.begin(reply_to(side, 3));
  const std::size_t common = writer.begin(kFirst);
  const std::size_t mutation = writer.begin(common_field::kBodyMutation);
  const std::size_t streamed = writer.begin(mutation_field::kStreamedResponse);
  if (end == BodyEnd::kLast) writer.varint(2, 1);
  if (body_bytes > 0) writer.bytes_elsewhere(1, body_bytes);
  for (const std::size_t begun : {streamed, mutation, common, body}) writer.end(begun, body_bytes);
}

void append_body_reply(const BodyReply& reply, std::string& out) {
  const std::size_t elsewhere = reply.body == BodyChange::kReplaced ? reply.body_bytes : 0;
  WireWriter writer(out);
  write_destination(writer, reply.destination);
  const std::size_t body = writer.begin(reply_to(reply.side, 3));
  const std::size_t common = writer.begin(kFirst);
  write_changes(writer, common_field::kHeaderMutation, reply.changes);
  if (reply.route_cache == RouteCache::kClear) writer.varint(common_field::kClearRouteCache, 1);
  if (reply.body != BodyChange::kKept) {
    const std::size_t mutation = writer.begin(common_field::kBodyMutation);
    if (reply.body == BodyChange::kCleared) {
      writer.varint(mutation_field::kClearBody, 1);
    } else {
      writer.bytes_elsewhere(mutation_field::kBody, reply.body_bytes);
    }
    writer.end(mutation, elsewhere);
  }
  writer.end(common, elsewhere);
  writer.end(body, elsewhere);
}

void append_trailers_reply(ProcessingSide side, std::string& out) {
  WireWriter writer(out);
  writer.bytes(reply_to(side, 5), {});
}

// A map's key may occur once, so the numbers of one namespace stand together.
void append_metadata(std::span<const MetadataNumber> numbers, std::string& out) {
  if (numbers.empty()) return;
  WireWriter writer(out);
  const std::size_t metadata = writer.begin(reply_field::kDynamicMetadata);
  for (std::size_t first = 0; first < numbers.size(); ++first) {
    const auto in_space = [&](const MetadataNumber& one) {
      return one.space == numbers[first].space;
    };
    if (std::ranges::any_of(numbers.first(first), in_space)) continue;
    const OpenEntry space = open_entry(writer, numbers[first].space);
    const std::size_t fields = writer.begin(value_field::kStruct);
    for (const MetadataNumber& one : numbers.subspan(first)) {
      if (in_space(one)) write_number(writer, one.key, one.value);
    }
    writer.end(fields);
    close_entry(writer, space);
  }
  writer.end(metadata);
}

void append_immediate_reply(const ImmediateReply& reply, std::string& out) {
  WireWriter writer(out);
  const std::size_t immediate = writer.begin(reply_field::kImmediateResponse);
  const std::size_t status = writer.begin(immediate_field::kStatus);
  writer.varint(kFirst, static_cast<std::uint64_t>(std::max(reply.status, 0)));
  writer.end(status);
  write_changes(writer, immediate_field::kHeaders, {reply.headers, {}});
  if (!reply.body.empty()) writer.bytes(immediate_field::kBody, reply.body);
  if (!reply.details.empty()) writer.bytes(immediate_field::kDetails, reply.details);
  writer.end(immediate);
}

}  // namespace fairlead::codec
