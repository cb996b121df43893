// SPDX-License-Identifier: Apache-2.0
#include "core/codec/trace_context.h"

#include "core/codec/http1_text.h"

namespace fairlead::codec {
namespace {

constexpr std::size_t kParentBytes = 55;
constexpr std::size_t kSimpleKeyMax = 256;
constexpr std::size_t kTenantMax = 241;
constexpr std::size_t kSystemMax = 14;
constexpr std::size_t kValueMax = 256;

// Of lower-case digits alone, which is what the standard allows.
bool read_hex(std::string_view digits, std::uint64_t& value) {
  value = 0;
  for (const char c : digits) {
    const bool letter = c >= 'a' && c <= 'f';
    if (!letter && !is_digit(c)) return false;
    value = value << 4 | static_cast<std::uint64_t>(letter ? c - 'a' + 10 : c - '0');
  }
  return true;
}

bool read_parent(std::string_view text, TraceParent& parent) {
  if (text.size() < kParentBytes || text[2] != '-' || text[35] != '-' || text[52] != '-') {
    return false;
  }
  std::uint64_t version = 0;
  std::uint64_t flags = 0;
  if (!read_hex(text.substr(0, 2), version) || !read_hex(text.substr(3, 16), parent.trace.high) ||
      !read_hex(text.substr(19, 16), parent.trace.low) ||
      !read_hex(text.substr(36, 16), parent.span) || !read_hex(text.substr(53, 2), flags)) {
    return false;
  }
  // Version 255 is forbidden, and what a later one adds begins with a dash.
  if (version == 0xff || (version == 0 && text.size() != kParentBytes)) return false;
  if (text.size() > kParentBytes && text[kParentBytes] != '-') return false;
  parent.flags = static_cast<std::uint8_t>(flags);
  return parent.trace.valid() && parent.span != 0;
}

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }

bool are_key_chars(std::string_view text) {
  for (const char c : text) {
    if (!is_lower(c) && !is_digit(c) && c != '_' && c != '-' && c != '*' && c != '/') return false;
  }
  return true;
}

bool is_state_key(std::string_view key) {
  const std::size_t at = key.find('@');
  const std::string_view first = key.substr(0, at);
  if (first.empty() || !are_key_chars(first)) return false;
  if (at == std::string_view::npos) return is_lower(first[0]) && first.size() <= kSimpleKeyMax;
  const std::string_view system = key.substr(at + 1);
  return (is_lower(first[0]) || is_digit(first[0])) && first.size() <= kTenantMax &&
         !system.empty() && system.size() <= kSystemMax && is_lower(system[0]) &&
         are_key_chars(system);
}

bool is_state_value(std::string_view value) {
  if (value.empty() || value.size() > kValueMax) return false;
  for (const char c : value) {
    if (c < ' ' || c > '~' || c == ',' || c == '=') return false;
  }
  return true;
}

struct StateBounds {
  std::size_t bytes = 0;
  std::size_t members = 0;
};

bool check_state(std::string_view list, StateBounds& seen) {
  seen.bytes += list.size();
  if (seen.bytes > kTraceStateBytesMax) return false;
  while (!list.empty()) {
    const std::string_view member = take_list_item(list);
    if (member.empty()) continue;
    const std::size_t equals = member.find('=');
    if (equals == std::string_view::npos || ++seen.members > kTraceStateMembersMax ||
        !is_state_key(member.substr(0, equals)) || !is_state_value(member.substr(equals + 1))) {
      return false;
    }
  }
  return true;
}

void append_hex(std::string& out, std::uint64_t value, int digits) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (int digit = digits - 1; digit >= 0; --digit) out += kHex[value >> (4 * digit) & 15];
}

}  // namespace

TraceContext read_trace_context(std::span<const Http1Header> headers) {
  TraceContext context;
  bool any_state = false;
  bool good_state = true;
  StateBounds seen;
  for (const Http1Header& header : headers) {
    if (equals_ignore_case(header.name, kTraceParentHeader)) {
      const bool first = context.parent_header == TraceHeader::kAbsent;
      context.parent_header = first && read_parent(header.value, context.parent)
                                  ? TraceHeader::kValid
                                  : TraceHeader::kInvalid;
    } else if (equals_ignore_case(header.name, kTraceStateHeader)) {
      any_state = true;
      good_state = good_state && check_state(header.value, seen);
    }
  }
  if (context.parent_header != TraceHeader::kValid) {
    context.parent = {};
  } else if (any_state) {
    context.state_header = good_state ? TraceHeader::kValid : TraceHeader::kInvalid;
  }
  return context;
}

void append_trace_state(std::span<const Http1Header> headers, std::string& out) {
  bool first = true;
  for (const Http1Header& header : headers) {
    if (!equals_ignore_case(header.name, kTraceStateHeader) || header.value.empty()) continue;
    if (!first) out += ',';
    first = false;
    out += header.value;
  }
}

void append_trace_parent(std::string& out, const TraceParent& parent) {
  out += "00-";
  append_trace_id(out, parent.trace);
  out += '-';
  append_span_id(out, parent.span);
  out += '-';
  append_hex(out, parent.flags, 2);
}

void append_trace_id(std::string& out, TraceId id) {
  append_hex(out, id.high, 16);
  append_hex(out, id.low, 16);
}

void append_span_id(std::string& out, std::uint64_t id) { append_hex(out, id, 16); }

}  // namespace fairlead::codec
