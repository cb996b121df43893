// SPDX-License-Identifier: Apache-2.0
// The W3C trace context of a request: its traceparent and tracestate headers, read strictly.
//
//   traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//                version, trace id, id of the caller's span, flags; lower-case hexadecimal
//
// A traceparent that is malformed, all zero or sent twice is invalid: the trace begins anew and its
// tracestate means nothing. A later version is read as far as version 00 goes. A malformed
// tracestate loses only itself.
// Source: W3C Trace Context level 2, §3.2 and §3.3. Threads: pure functions. No allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/codec/http1.h"

namespace fairlead::codec {

inline constexpr std::string_view kTraceParentHeader = "traceparent";
inline constexpr std::string_view kTraceStateHeader = "tracestate";
inline constexpr std::size_t kTraceStateBytesMax = 512;
inline constexpr std::size_t kTraceStateMembersMax = 32;

inline constexpr std::uint8_t kTraceSampled = 0x01;
inline constexpr std::uint8_t kTraceRandom = 0x02;  // The trace id's last 7 bytes are random.

struct TraceId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  bool valid() const { return (high | low) != 0; }
  bool operator==(const TraceId&) const = default;
};

struct TraceParent {
  TraceId trace;
  std::uint64_t span = 0;  // Of the caller; never 0.
  std::uint8_t flags = 0;
  bool sampled() const { return (flags & kTraceSampled) != 0; }
  bool operator==(const TraceParent&) const = default;
};

enum class TraceHeader : std::uint8_t { kAbsent, kValid, kInvalid };

struct TraceContext {
  TraceHeader parent_header = TraceHeader::kAbsent;
  TraceHeader state_header = TraceHeader::kAbsent;  // kAbsent where there is no valid parent.
  TraceParent parent;                               // Where parent_header is kValid.
};

TraceContext read_trace_context(std::span<const Http1Header> headers);
// Appends the members of all tracestate headers, with commas between them.
void append_trace_state(std::span<const Http1Header> headers, std::string& out);
// Appends a header's value of version 00.
void append_trace_parent(std::string& out, const TraceParent& parent);
// Lower-case hexadecimal, 32 and 16 digits.
void append_trace_id(std::string& out, TraceId id);
void append_span_id(std::string& out, std::uint64_t id);

}  // namespace fairlead::codec
