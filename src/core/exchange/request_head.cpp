// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/request_head.h"

#include <algorithm>
#include <array>

#include "core/codec/http1_write.h"
#include "core/codec/trace_context.h"
#include "core/exchange/credential.h"

namespace fairlead::exchange {
namespace {

constexpr std::size_t kRequestIdBytesMax = 128;
constexpr std::string_view kForwardedFor = "x-forwarded-for";

// Headers that name or influence an endpoint, of the gateway API inference extension, llm-d, its
// sidecars and vLLM.
constexpr std::array<std::string_view, 12> kRoutingHeaders = {
    "epp-profile",
    "test-epp-endpoint-selection",
    "x-conformance-test-served-endpoint",
    "x-data-parallel-host-port",
    "x-data-parallel-rank",
    "x-encoder-hosts-ports",
    "x-gateway-inference-fairness-id",
    "x-gateway-inference-objective",
    "x-gateway-model-name-rewrite",
    "x-kv-cache-source-host-port",
    "x-prefiller-host-port",
    "x-session-token",
};
constexpr std::array<std::string_view, 4> kRoutingPrefixes = {
    "x-fairlead-", "x-gateway-destination-endpoint", "x-llm-d-", "x-slo-"};

bool is_replaced(std::string_view name, const ForwardedHead& forwarded) {
  if (forwarded.client_key == ClientKey::kKept && is_key_header(name)) return true;
  if (forwarded.body == BodyBytes::kDecoded &&
      codec::equals_ignore_case(name, "content-encoding")) {
    return true;
  }
  if (forwarded.trace.parent == TraceHeaders::Sent::kDropped &&
      codec::equals_ignore_case(name, codec::kTraceParentHeader)) {
    return true;
  }
  if (forwarded.trace.state == TraceHeaders::Sent::kDropped &&
      codec::equals_ignore_case(name, codec::kTraceStateHeader)) {
    return true;
  }
  return codec::equals_ignore_case(name, "host") ||
         codec::equals_ignore_case(name, "content-length") ||
         codec::equals_ignore_case(name, "expect") ||
         codec::equals_ignore_case(name, kForwardedFor) ||
         codec::equals_ignore_case(name, forwarded.request_id_header);
}

void append_forwarded_for(const ForwardedHead& forwarded, std::string& out) {
  out += kForwardedFor;
  out += ": ";
  for (const codec::Http1Header& header : forwarded.head.headers) {
    if (!codec::equals_ignore_case(header.name, kForwardedFor) || header.value.empty()) continue;
    out += header.value;
    out += ", ";
  }
  out += forwarded.client_address;
  out += "\r\n";
}

}  // namespace

bool is_routing_header(std::string_view name) {
  // Every such name but one begins with x, and most headers do not.
  const char first = name.empty() ? '\0' : name.front();
  if (first != 'x' && first != 'X' && first != 'e' && first != 'E' && first != 't' &&
      first != 'T') {
    return false;
  }
  for (const std::string_view known : kRoutingHeaders) {
    if (codec::equals_ignore_case(name, known)) return true;
  }
  return std::ranges::any_of(kRoutingPrefixes, [&](std::string_view prefix) {
    return codec::equals_ignore_case(name.substr(0, prefix.size()), prefix);
  });
}

void write_request_head(const ForwardedHead& forwarded, std::string& out) {
  const codec::Http1RequestHead& head = forwarded.head;
  out.clear();
  out += head.method;
  out += ' ';
  out += head.path();
  if (const std::string_view query = head.query(); !query.empty()) {
    out += '?';
    out += query;
  }
  out += " HTTP/1.1\r\n";
  codec::append_header(out, "host", forwarded.upstream_authority);
  for (const codec::Http1Header& header : head.headers) {
    if (is_replaced(header.name, forwarded) || codec::is_hop_by_hop(header.name, head.headers) ||
        is_routing_header(header.name)) {
      continue;
    }
    codec::append_header(out, header.name, header.value);
  }
  codec::append_header(out, forwarded.request_id_header, forwarded.request_id);
  if (!forwarded.trace.own_parent.empty()) {
    codec::append_header(out, codec::kTraceParentHeader, forwarded.trace.own_parent);
  }
  if (!forwarded.authorization.empty()) {
    codec::append_header(out, "authorization", forwarded.authorization);
  }
  append_forwarded_for(forwarded, out);
  if (forwarded.protocol == Protocol::kWebSocket) {
    codec::append_header(out, "connection", "Upgrade");
    codec::append_header(out, "upgrade", "websocket");
  } else {
    codec::append_length(out, forwarded.body_bytes);
  }
  codec::append_head_end(out);
}

bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= kRequestIdBytesMax &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

void make_request_id(std::uint64_t high, std::uint64_t low, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  high = (high & ~std::uint64_t{0xf000}) | 0x4000;                   // Version 4.
  low = (low & ~(std::uint64_t{3} << 62)) | std::uint64_t{2} << 62;  // Variant 10.
  out.clear();
  for (int digit = 0; digit < 32; ++digit) {
    if (digit == 8 || digit == 12 || digit == 16 || digit == 20) out += '-';
    const std::uint64_t half = digit < 16 ? high : low;
    out += kHex[half >> (60 - 4 * (digit % 16)) & 15];
  }
}

}  // namespace fairlead::exchange
