// SPDX-License-Identifier: Apache-2.0
#include "core/codec/http1_request.h"

#include <algorithm>

#include "core/codec/http1_text.h"

namespace fairlead::codec {

// What may stand in Host and in an authority: names, literals, a port; nothing that ends them.
bool is_authority(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return is_token_char(c) || c == ':' || c == '[' || c == ']' || c == '(' || c == ')' ||
           c == ';' || c == '=';
  });
}

namespace {

constexpr std::size_t kMethodBytesMax = 32;

bool is_target_char(char c) { return c > 0x20 && c < 0x7F && c != '#'; }

// Bytes of "http://host" in front of the path; 0 for other forms.
std::size_t absolute_prefix(std::string_view target) {
  const std::size_t scheme = target.find("://");
  if (target.starts_with('/') || scheme == std::string_view::npos) return 0;
  const std::size_t path = target.find_first_of("/?", scheme + 3);
  return path == std::string_view::npos ? target.size() : path;
}

Http1Error check_target(std::string_view method, std::string_view target) {
  const auto invalid = Http1Error::kInvalidTarget;
  if (target.empty() || !std::ranges::all_of(target, is_target_char)) return invalid;
  if (method == "CONNECT") {
    return is_authority(target) && target.find(':') != std::string_view::npos ? Http1Error::kNone
                                                                              : invalid;
  }
  if (target.front() == '/') return Http1Error::kNone;
  if (target == "*") return method == "OPTIONS" ? Http1Error::kNone : invalid;
  const std::size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) return invalid;
  const std::string_view name = target.substr(0, scheme);
  if (!equals_ignore_case(name, "http") && !equals_ignore_case(name, "https")) return invalid;
  const std::string_view authority =
      target.substr(scheme + 3, absolute_prefix(target) - scheme - 3);
  return !authority.empty() && is_authority(authority) ? Http1Error::kNone : invalid;
}

}  // namespace

Http1Error check_request_line(std::string_view method, std::string_view target) {
  if (!is_token(method) || method.size() > kMethodBytesMax) return Http1Error::kInvalidMethod;
  return check_target(method, target);
}

std::string_view Http1RequestHead::path() const {
  const std::string_view from_path = target.substr(absolute_prefix(target));
  const std::string_view text = from_path.substr(0, from_path.find('?'));
  return text.empty() ? std::string_view("/") : text;
}

std::string_view Http1RequestHead::query() const {
  const std::size_t mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

void Http1RequestParser::reset() {
  scanner_.reset();
  error_ = Http1Error::kNone;
  Http1Headers headers = std::move(head_.headers);
  headers.clear();
  head_ = {};
  head_.headers = std::move(headers);
}

Http1Progress Http1RequestParser::parse(std::string_view bytes) {
  const Http1Progress progress = scanner_.scan(bytes, limits_);
  error_ = scanner_.error();
  if (progress != Http1Progress::kComplete) return progress;
  head_.size = scanner_.size();
  std::string_view lines = bytes.substr(scanner_.begin(), scanner_.size() - scanner_.begin());
  error_ = parse_start_line(take_line(lines));
  if (error_ == Http1Error::kNone) error_ = parse_fields(lines, limits_, head_.headers);
  if (error_ == Http1Error::kNone) error_ = check_fields();
  return error_ == Http1Error::kNone ? Http1Progress::kComplete : Http1Progress::kError;
}

Http1Error Http1RequestParser::parse_start_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Http1Error::kInvalidStartLine;
  head_.method = line.substr(0, first);
  head_.target = line.substr(first + 1, last - first - 1);
  const Http1Error version = parse_version(line.substr(last + 1), head_.version);
  const Http1Error names = check_request_line(head_.method, head_.target);
  if (names == Http1Error::kInvalidMethod || version == Http1Error::kNone) return names;
  return version;
}

Http1Error Http1RequestParser::check_fields() {
  Http1FramingFields fields;
  Http1Error error = gather_framing(head_.headers, head_.version, fields);
  if (error != Http1Error::kNone) return error;
  bool has_host = false;
  for (const Http1Header& header : head_.headers) {
    if (equals_ignore_case(header.name, "host")) {
      if (has_host) return Http1Error::kDuplicateHost;
      if (!is_authority(header.value)) return Http1Error::kInvalidHost;
      has_host = true;
      head_.host = header.value;
    } else if (equals_ignore_case(header.name, "expect")) {
      if (!equals_ignore_case(header.value, "100-continue")) {
        return Http1Error::kUnsupportedExpectation;
      }
      head_.expect_continue = head_.version == Http1Version::k11;
    }
  }
  if (!has_host && head_.version == Http1Version::k11) return Http1Error::kMissingHost;
  if (fields.chunked) {
    head_.body = BodyFraming::chunked();
  } else if (fields.length > 0) {
    head_.body = BodyFraming::of_length(fields.length);
  }
  head_.keep_alive = !fields.connection_close &&
                     (head_.version == Http1Version::k11 || fields.connection_keep_alive);
  return Http1Error::kNone;
}

}  // namespace fairlead::codec
