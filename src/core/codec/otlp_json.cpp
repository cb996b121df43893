// SPDX-License-Identifier: Apache-2.0
#include "core/codec/otlp_json.h"

#include <charconv>

#include "core/codec/json_cursor.h"

namespace fairlead::codec {
namespace {

constexpr std::string_view kScopeName = "fairlead";
// SpanFlags above the trace flags: whether the parent is in another process is known, and it is.
constexpr std::uint64_t kHasIsRemote = 0x100;
constexpr std::uint64_t kIsRemote = 0x200;
constexpr std::size_t kReplyBytesMax = 64 * 1024;

// Digits need no escape.
void write_decimal(JsonWriter& writer, std::uint64_t value) {
  char digits[24];
  const char* const end = std::to_chars(std::begin(digits), std::end(digits), value).ptr;
  writer.string({digits, end});
}

void write_text_attribute(JsonWriter& writer, std::string_view key, std::string_view value) {
  writer.begin_object().key("key").string(key).key("value").begin_object();
  writer.key("stringValue").string(value);
  writer.end_object().end_object();
}

void write_span_id(JsonWriter& writer, std::string_view key, std::uint64_t id) {
  std::string text;
  append_span_id(text, id);
  writer.key(key).string(text);
}

std::uint64_t natural(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"') text = text.substr(1, text.size() - 2);
  std::uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc{} && read.ptr == text.data() + text.size() ? value : 0;
}

// The raw value of a key of the object ahead; empty without one.
std::string_view member(JsonCursor& cursor, std::string_view wanted, std::size_t depth) {
  std::string_view found;
  if (!cursor.accept('{')) return found;
  cursor.enter();
  std::string_view key;
  while (cursor.next_key(key)) {
    std::string_view raw;
    if (!cursor.read_raw(raw, depth)) return {};
    if (key == wanted) found = raw;
  }
  return cursor.fault() == JsonFault::kNone ? found : std::string_view();
}

std::string_view member_of(std::string_view object, std::string_view wanted) {
  JsonIndex index(kReplyBytesMax);
  if (object.empty() || index.build(object) != JsonFault::kNone) return {};
  JsonCursor cursor(object, index);
  return member(cursor, wanted, 1);
}

}  // namespace

void OtlpSpanWriter::begin(const OtlpSpanHead& head) {
  std::string id;
  append_trace_id(id, head.trace);
  writer_.begin_object().key("traceId").string(id);
  write_span_id(writer_, "spanId", head.span);
  if (!head.trace_state.empty()) writer_.key("traceState").string(head.trace_state);
  if (head.parent != 0) write_span_id(writer_, "parentSpanId", head.parent);
  const bool remote = head.parent != 0 && head.parent_place == OtlpParent::kRemote;
  writer_.key("flags").number(std::uint64_t{head.trace_flags} | kHasIsRemote |
                              (remote ? kIsRemote : 0));
  writer_.key("name").string(head.name);
  writer_.key("kind").number(static_cast<std::uint64_t>(head.kind));
  writer_.key("startTimeUnixNano");
  write_decimal(writer_, head.began);
  writer_.key("endTimeUnixNano");
  write_decimal(writer_, head.ended);
  writer_.key("attributes").begin_array();
}

JsonWriter& OtlpSpanWriter::attribute(std::string_view key, std::string_view type) {
  return writer_.begin_object().key("key").string(key).key("value").begin_object().key(type);
}

OtlpSpanWriter& OtlpSpanWriter::text(std::string_view key, std::string_view value) {
  if (!value.empty()) write_text_attribute(writer_, key, value);
  return *this;
}

OtlpSpanWriter& OtlpSpanWriter::integer(std::string_view key, std::uint64_t value) {
  write_decimal(attribute(key, "intValue"), value);
  writer_.end_object().end_object();
  return *this;
}

OtlpSpanWriter& OtlpSpanWriter::real(std::string_view key, double value) {
  attribute(key, "doubleValue").number(value);
  writer_.end_object().end_object();
  return *this;
}

void OtlpSpanWriter::end(std::span<const OtlpEvent> events, OtlpStatus status,
                         std::string_view message) {
  writer_.end_array();
  if (!events.empty()) {
    writer_.key("events").begin_array();
    for (const OtlpEvent& event : events) {
      writer_.begin_object().key("timeUnixNano");
      write_decimal(writer_, event.at);
      writer_.key("name").string(event.name).end_object();
    }
    writer_.end_array();
  }
  writer_.key("status").begin_object();
  if (status != OtlpStatus::kUnset) {
    if (!message.empty()) writer_.key("message").string(message);
    writer_.key("code").number(static_cast<std::uint64_t>(status));
  }
  writer_.end_object().end_object();
}

void append_export_head(std::string& out, const OtlpResource& resource) {
  out += "{\"resourceSpans\":[{\"resource\":{\"attributes\":[";
  JsonWriter service(out);
  write_text_attribute(service, "service.name", resource.service_name);
  out += ',';
  JsonWriter instance(out);
  write_text_attribute(instance, "service.instance.id", resource.instance_id);
  out += "]},\"scopeSpans\":[{\"scope\":{\"name\":\"";
  out += kScopeName;
  out += "\"},\"spans\":[";
}

void append_export_tail(std::string& out) { out += "]}]}]}"; }

std::uint64_t rejected_spans(std::string_view body) {
  return natural(member_of(member_of(body, "partialSuccess"), "rejectedSpans"));
}

}  // namespace fairlead::codec
