// SPDX-License-Identifier: Apache-2.0
#include "core/codec/http1.h"

#include <algorithm>
#include <array>

#include "core/codec/http1_text.h"

namespace fairlead::codec {
namespace {

constexpr std::array<std::string_view, kHttp1ErrorCount> kErrorNames = {
    "none",
    "head_too_large",
    "too_many_headers",
    "bare_line_end",
    "invalid_header_name",
    "space_before_colon",
    "missing_colon",
    "folded_header",
    "invalid_header_value",
    "invalid_content_length",
    "duplicate_content_length",
    "length_and_encoding",
    "invalid_transfer_encoding",
    "unsupported_transfer_encoding",
    "connection_list_too_long",
    "unsupported_version",
    "invalid_version",
    "invalid_start_line",
    "invalid_method",
    "invalid_target",
    "target_too_long",
    "missing_host",
    "duplicate_host",
    "invalid_host",
    "unsupported_expectation",
    "invalid_status_line",
    "invalid_chunk_size",
    "chunk_extension_too_large",
    "invalid_chunk_end",
    "trailers_too_large",
    "invalid_trailer",
};

// RFC 9110 §7.6.1; Proxy-Connection is an old client's Connection.
constexpr std::array<std::string_view, 9> kHopByHop = {
    "connection",        "keep-alive",         "proxy-connection",   "te", "trailer", "upgrade",
    "transfer-encoding", "proxy-authenticate", "proxy-authorization"};

}  // namespace

std::string_view to_string(Http1Error error) {
  return kErrorNames[static_cast<std::size_t>(error)];
}

int status_for(Http1Error error) {
  switch (error) {
    case Http1Error::kHeadTooLarge:
    case Http1Error::kTooManyHeaders:
    case Http1Error::kTrailersTooLarge:
      return 431;
    case Http1Error::kTargetTooLong:
      return 414;
    case Http1Error::kUnsupportedExpectation:
      return 417;
    case Http1Error::kUnsupportedTransferEncoding:
      return 501;
    case Http1Error::kUnsupportedVersion:
      return 505;
    default:
      return 400;
  }
}

bool equals_ignore_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (to_lower(text[i]) != lower[i]) return false;
  }
  return true;
}

const Http1Header* find_header(std::span<const Http1Header> headers, std::string_view lower_name) {
  const auto found = std::ranges::find_if(
      headers, [&](const Http1Header& h) { return equals_ignore_case(h.name, lower_name); });
  return found == headers.end() ? nullptr : &*found;
}

std::string_view header_value(std::span<const Http1Header> headers, std::string_view lower_name) {
  const Http1Header* header = find_header(headers, lower_name);
  return header == nullptr ? std::string_view() : header->value;
}

bool list_contains(std::string_view list, std::string_view lower_token) {
  while (!list.empty()) {
    if (equals_ignore_case(take_list_item(list), lower_token)) return true;
  }
  return false;
}

bool is_hop_by_hop(std::string_view name, std::span<const Http1Header> headers) {
  for (const std::string_view fixed : kHopByHop) {
    if (equals_ignore_case(name, fixed)) return true;
  }
  for (const Http1Header& header : headers) {
    if (!equals_ignore_case(header.name, "connection")) continue;
    std::string_view list = header.value;
    while (!list.empty()) {
      if (same_ignoring_case(take_list_item(list), name)) return true;
    }
  }
  return false;
}

bool is_field_value(std::string_view value) {
  return std::ranges::all_of(value, [](char c) { return is_value_char(c); });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return is_token_char(c); });
}

}  // namespace fairlead::codec
