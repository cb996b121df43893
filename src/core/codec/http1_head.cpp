// SPDX-License-Identifier: Apache-2.0
#include "core/codec/http1_head.h"

#include <algorithm>
#include <cstring>

#include "core/codec/http1_text.h"

namespace fairlead::codec {
namespace {

// Room for any file or body size, and no overflow when lengths are added.
constexpr std::size_t kLengthDigitsMax = 18;
// Every header is compared with every option, so their number is a cost.
constexpr std::uint32_t kConnectionOptionsMax = 32;

Http1Error parse_length(std::string_view text, std::uint64_t& length) {
  if (text.empty() || text.size() > kLengthDigitsMax) return Http1Error::kInvalidContentLength;
  length = 0;
  for (const char c : text) {
    if (!is_digit(c)) return Http1Error::kInvalidContentLength;
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return Http1Error::kNone;
}

Http1Error note_encoding(std::string_view value, Http1Version version, Http1FramingFields& fields) {
  // A second `chunked`, in the same or another header, would make chunks of chunks.
  if (fields.chunked || version == Http1Version::k10) return Http1Error::kInvalidTransferEncoding;
  if (equals_ignore_case(value, "chunked")) {
    fields.chunked = true;
    return Http1Error::kNone;
  }
  std::string_view list = value;
  std::string_view last;
  std::size_t chunked = 0;
  while (!list.empty()) {
    last = take_list_item(list);
    if (equals_ignore_case(last, "chunked")) ++chunked;
  }
  const bool well_formed = chunked == 1 && equals_ignore_case(last, "chunked");
  return well_formed ? Http1Error::kUnsupportedTransferEncoding
                     : Http1Error::kInvalidTransferEncoding;
}

}  // namespace

Http1Progress Http1HeadScanner::refuse(Http1Error error) {
  error_ = error;
  return Http1Progress::kError;
}

Http1Progress Http1HeadScanner::scan(std::string_view bytes, const Http1Limits& limits) {
  if (error_ != Http1Error::kNone) return Http1Progress::kError;
  const std::string_view window = bytes.substr(0, limits.head_bytes);
  if (next_ == 0 && !window.empty()) {
    // Anything else, such as a TLS handshake, must not wait for a timeout.
    if (!is_token_char(window[0]) && window[0] != '\r' && window[0] != '\n') {
      return refuse(Http1Error::kInvalidStartLine);
    }
  }
  while (next_ < window.size()) {
    const void* found = std::memchr(window.data() + next_, '\n', window.size() - next_);
    if (found == nullptr) {
      next_ = window.size();
      break;
    }
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - window.data());
    next_ = at + 1;
    if (at == line_ || window[at - 1] != '\r') return refuse(Http1Error::kBareLineEnd);
    const bool empty_line = at == line_ + 1;
    const bool at_start = line_ == 0;
    line_ = next_;
    if (!empty_line) {
      start_line_done_ = true;
    } else if (start_line_done_) {
      return Http1Progress::kComplete;
    } else if (at_start) {
      begin_ = next_;
    } else {
      return refuse(Http1Error::kInvalidStartLine);
    }
  }
  if (bytes.size() < limits.head_bytes) return Http1Progress::kNeedMore;
  return refuse(start_line_done_ ? Http1Error::kHeadTooLarge : Http1Error::kTargetTooLong);
}

std::string_view take_line(std::string_view& head) {
  const std::size_t end = head.find('\n');
  const std::string_view line = head.substr(0, end - 1);
  head.remove_prefix(end + 1);
  return line;
}

Http1Error parse_field_line(std::string_view line, Http1Header& header) {
  if (is_space(line.front())) return Http1Error::kFoldedHeader;
  std::size_t colon = 0;
  while (colon < line.size() && is_token_char(line[colon])) ++colon;
  if (colon == line.size()) return Http1Error::kMissingColon;
  if (line[colon] != ':') {
    const std::size_t next = line.find_first_not_of(" \t", colon);
    const bool gap =
        is_space(line[colon]) && colon > 0 && next != std::string_view::npos && line[next] == ':';
    return gap ? Http1Error::kSpaceBeforeColon : Http1Error::kInvalidHeaderName;
  }
  if (colon == 0) return Http1Error::kInvalidHeaderName;
  header = {line.substr(0, colon), trim(line.substr(colon + 1))};
  if (header.value.find('\r') != std::string_view::npos) return Http1Error::kBareLineEnd;
  return is_field_value(header.value) ? Http1Error::kNone : Http1Error::kInvalidHeaderValue;
}

Http1Error parse_fields(std::string_view lines, const Http1Limits& limits, Http1Headers& headers) {
  headers.clear();
  for (;;) {
    const std::string_view line = take_line(lines);
    if (line.empty()) return Http1Error::kNone;
    if (headers.size() == limits.headers) return Http1Error::kTooManyHeaders;
    Http1Header header;
    const Http1Error error = parse_field_line(line, header);
    if (error != Http1Error::kNone) return error;
    headers.push_back(header);
  }
}

Http1Error parse_version(std::string_view text, Http1Version& version) {
  const bool shaped = text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) &&
                      text[6] == '.' && is_digit(text[7]);
  if (!shaped) return Http1Error::kInvalidVersion;
  if (text[5] != '1' || text[7] > '1') return Http1Error::kUnsupportedVersion;
  version = text[7] == '1' ? Http1Version::k11 : Http1Version::k10;
  return Http1Error::kNone;
}

Http1Error gather_framing(const Http1Headers& headers, Http1Version version,
                          Http1FramingFields& fields) {
  for (const Http1Header& header : headers) {
    Http1Error error = Http1Error::kNone;
    if (equals_ignore_case(header.name, "content-length")) {
      if (fields.has_length) return Http1Error::kDuplicateContentLength;
      fields.has_length = true;
      error = parse_length(header.value, fields.length);
    } else if (equals_ignore_case(header.name, "transfer-encoding")) {
      error = note_encoding(header.value, version, fields);
    } else if (equals_ignore_case(header.name, "connection")) {
      fields.connection_options +=
          1 + static_cast<std::uint32_t>(std::ranges::count(header.value, ','));
      if (fields.connection_options > kConnectionOptionsMax) {
        return Http1Error::kConnectionListTooLong;
      }
      fields.connection_close |= list_contains(header.value, "close");
      fields.connection_keep_alive |= list_contains(header.value, "keep-alive");
    }
    if (error != Http1Error::kNone) return error;
  }
  if (fields.has_length && fields.chunked) return Http1Error::kLengthAndEncoding;
  return Http1Error::kNone;
}

}  // namespace fairlead::codec
