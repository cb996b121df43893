// SPDX-License-Identifier: Apache-2.0
// Spans as the OpenTelemetry protocol writes them in JSON, and what a collector answers.
//
//   OtlpSpanWriter writer(out);
//   writer.begin(head);                  // One span, an object on its own ...
//   writer.text("http.route", "/v1/models").integer("http.response.status_code", 200);
//   writer.end(events, OtlpStatus::kUnset, {});
//
//   append_export_head(body, resource);  // ... and a request to POST /v1/traces: spans with
//   body += spans;                       // commas between them.
//   append_export_tail(body);
//
// Units: Unix nanoseconds. 64-bit numbers are strings and ids hexadecimal, as its JSON mapping
// asks. Source: OTLP 1.9 (trace/v1/trace.proto, "JSON Protobuf Encoding"). Threads: values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/codec/json_text.h"
#include "core/codec/trace_context.h"

namespace fairlead::codec {

enum class OtlpSpanKind : std::uint8_t { kServer = 2, kClient = 3 };
enum class OtlpStatus : std::uint8_t { kUnset = 0, kError = 2 };
enum class OtlpParent : std::uint8_t { kHere, kRemote };

struct OtlpSpanHead {
  TraceId trace;
  std::uint64_t span = 0;
  std::uint64_t parent = 0;  // 0: the trace begins here.
  OtlpParent parent_place = OtlpParent::kHere;
  std::uint8_t trace_flags = kTraceSampled;
  std::string_view trace_state{};
  std::string_view name;
  OtlpSpanKind kind = OtlpSpanKind::kServer;
  std::uint64_t began = 0;
  std::uint64_t ended = 0;
};

struct OtlpEvent {
  std::string_view name;
  std::uint64_t at = 0;
};

class OtlpSpanWriter {
 public:
  explicit OtlpSpanWriter(std::string& out) : writer_(out) {}

  void begin(const OtlpSpanHead& head);
  // An attribute of the span; an empty text is none.
  OtlpSpanWriter& text(std::string_view key, std::string_view value);
  OtlpSpanWriter& integer(std::string_view key, std::uint64_t value);
  OtlpSpanWriter& real(std::string_view key, double value);
  void end(std::span<const OtlpEvent> events, OtlpStatus status, std::string_view message);

 private:
  JsonWriter& attribute(std::string_view key, std::string_view type);
  JsonWriter writer_;
};

// Spans of one request, as they stand in a list.
struct OtlpSpans {
  std::string json;
  std::uint32_t count = 0;
};

struct OtlpResource {
  std::string_view service_name;
  std::string_view instance_id;
};

void append_export_head(std::string& out, const OtlpResource& resource);
void append_export_tail(std::string& out);

// How many spans the collector says, in the body of its 200, that it did not take. 0 where it says
// nothing that can be understood: the status counts.
std::uint64_t rejected_spans(std::string_view body);

}  // namespace fairlead::codec
