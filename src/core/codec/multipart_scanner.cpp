// SPDX-License-Identifier: Apache-2.0
#include "core/codec/multipart_scanner.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/codec/http1_text.h"

namespace fairlead::codec {

namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kDashes = "--";
constexpr std::size_t kBoundaryMax = 70;  // RFC 2046 §5.1.1.

bool is_boundary(std::string_view text) {
  constexpr std::string_view kMarks = "'()+_,-./:=? ";
  return !text.empty() && text.size() <= kBoundaryMax && text.back() != ' ' &&
         std::ranges::all_of(text, [&](char c) {
           return is_digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'z') ||
                  kMarks.find(c) != std::string_view::npos;
         });
}

struct Parameter {
  std::string_view name;
  std::string_view value;  // Without quotes, escapes as written.
};

// Takes "; name=value" from the front of `text`.
bool take_parameter(std::string_view& text, Parameter& out) {
  if (text.empty() || text.front() != ';') return false;
  text.remove_prefix(1);
  text = trim(text);
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos) return false;
  out.name = text.substr(0, equals);
  if (!std::ranges::all_of(out.name, [](char c) { return is_token_char(c); })) return false;
  text.remove_prefix(equals + 1);
  if (text.starts_with('"')) {
    std::size_t end = 1;
    while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
    if (end >= text.size()) return false;
    out.value = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
  } else {
    const std::size_t end = std::min(text.find_first_of("; \t"), text.size());
    out.value = text.substr(0, end);
    if (out.value.empty() || out.value.find('"') != std::string_view::npos) return false;
    text.remove_prefix(end);
  }
  text = trim(text);
  return true;
}

std::string_view take_type(std::string_view& text) {
  const std::size_t end = std::min(text.find(';'), text.size());
  const std::string_view type = text.substr(0, end);
  text.remove_prefix(end);
  return trim(type);
}

// The boundary, or nothing.
std::string_view boundary_of(std::string_view content_type) {
  if (!same_ignoring_case(take_type(content_type), "multipart/form-data")) return {};
  std::string_view boundary;
  Parameter parameter;
  while (!content_type.empty()) {
    if (!take_parameter(content_type, parameter)) return {};
    if (!same_ignoring_case(parameter.name, "boundary")) continue;
    if (!boundary.empty() || !is_boundary(parameter.value)) return {};
    boundary = parameter.value;
  }
  return boundary;
}

bool is_true(std::string_view text) {
  // As pydantic reads a form's boolean.
  constexpr std::array<std::string_view, 6> kTrue{"true", "1", "on", "yes", "t", "y"};
  return std::ranges::any_of(kTrue,
                             [&](std::string_view t) { return same_ignoring_case(t, text); });
}

}  // namespace

MultipartReader::MultipartReader(std::string_view content_type, std::string_view body)
    : body_(body), boundary_(boundary_of(content_type)) {
  if (boundary_.empty()) {
    fail("the content type is not multipart/form-data with one valid boundary");
    return;
  }
  const std::size_t size = kDashes.size() + boundary_.size();
  if (!body_.starts_with(kDashes) || body_.substr(kDashes.size(), boundary_.size()) != boundary_) {
    fail("it does not begin with its boundary");
    return;
  }
  at_ = size;
}

bool MultipartReader::fail(std::string_view fault) {
  if (fault_.empty()) fault_ = fault;
  return false;
}

bool MultipartReader::next_begins() {
  const std::string_view rest = body_.substr(at_);
  if (rest.starts_with(kLineEnd)) {
    at_ += kLineEnd.size();
    return true;
  }
  if (!rest.starts_with(kDashes)) return fail("a boundary is not followed by a line end");
  at_ += kDashes.size();
  done_ = true;
  if (at_ != body_.size() && body_.substr(at_) != kLineEnd) {
    return fail("something follows the last boundary");
  }
  return false;
}

bool MultipartReader::next(FormPart& part) {
  if (done_ || !fault_.empty() || !next_begins()) return false;
  if (++parts_ > kPartsMax) return fail("it has too many parts");
  part = {};
  return part_head(part) && part_content(part);
}

bool MultipartReader::part_head(FormPart& part) {
  const std::string_view head = body_.substr(at_, kPartHeadBytesMax);
  std::size_t at = 0;
  for (;;) {
    const std::size_t end = head.find('\r', at);
    if (end == std::string_view::npos) return fail("a part's head does not end, or is too long");
    if (head.substr(end, kLineEnd.size()) != kLineEnd) return fail("a part's head has a bare CR");
    const std::string_view line = head.substr(at, end - at);
    at = end + kLineEnd.size();
    if (line.empty()) break;
    if (!part_header(line, part)) return false;
  }
  at_ += at;
  if (part.name.empty()) return fail("a part has no name");
  return true;
}

bool MultipartReader::part_header(std::string_view line, FormPart& part) {
  const bool is_plain = std::ranges::all_of(
      line, [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; });
  const std::size_t colon = line.find(':');
  if (!is_plain || colon == 0 || colon == std::string_view::npos ||
      !std::ranges::all_of(line.substr(0, colon), [](char c) { return is_token_char(c); })) {
    return fail("a part has a malformed header");
  }
  if (!same_ignoring_case(line.substr(0, colon), "content-disposition")) return true;
  std::string_view value = line.substr(colon + 1);
  value = trim(value);
  if (!same_ignoring_case(take_type(value), "form-data")) return fail("a part is no form-data");
  Parameter parameter;
  while (!value.empty()) {
    if (!take_parameter(value, parameter)) return fail("a part has a malformed disposition");
    if (same_ignoring_case(parameter.name, "name*")) return fail("a part has an encoded name");
    if (same_ignoring_case(parameter.name, "name")) {
      if (!part.name.empty()) return fail("a part has two names");
      if (parameter.value.find('\\') != std::string_view::npos) {
        return fail("a part's name has escapes");
      }
      part.name = parameter.value;
    } else if (same_ignoring_case(parameter.name, "filename") ||
               same_ignoring_case(parameter.name, "filename*")) {
      part.kind = PartKind::kFile;
    }
  }
  return true;
}

bool MultipartReader::part_content(FormPart& part) {
  std::array<char, 2 + 2 + kBoundaryMax> delimiter;
  std::memcpy(delimiter.data(), "\r\n--", 4);
  std::memcpy(delimiter.data() + 4, boundary_.data(), boundary_.size());
  const std::size_t size = 4 + boundary_.size();
  const void* const found = memmem(body_.data() + at_, body_.size() - at_, delimiter.data(), size);
  if (found == nullptr) return fail("the last boundary is missing");
  const auto end = static_cast<std::size_t>(static_cast<const char*>(found) - body_.data());
  part.content = body_.substr(at_, end - at_);
  at_ = end + size;
  return true;
}

ScanStatus scan_form(std::string_view content_type, std::string_view body, ScannedRequest& out) {
  out.clear();
  if (body.empty()) return {ScanError::kEmptyBody, {}, 0};
  MultipartReader reader(content_type, body);
  FormPart part;
  bool has_stream = false;
  while (reader.next(part)) {
    (part.kind == PartKind::kFile ? out.opaque_bytes : out.text_bytes) += part.content.size();
    if (part.name == "model") {
      if (!out.model.empty()) return {ScanError::kDuplicateField, "model", reader.position()};
      if (part.kind == PartKind::kFile || part.content.empty()) {
        return {ScanError::kWrongType, "model", reader.position()};
      }
      if (part.content.size() > ChatScanner::kMaxModelBytes) {
        return {ScanError::kModelNameTooLong, "model", reader.position()};
      }
      if (!simdjson::validate_utf8(part.content.data(), part.content.size())) {
        return {ScanError::kInvalidUtf8, "model", reader.position()};
      }
      out.model = part.content;
    } else if (part.name == "stream") {
      if (has_stream) return {ScanError::kDuplicateField, "stream", reader.position()};
      has_stream = true;
      out.stream = is_true(part.content);
    }
  }
  if (!reader.fault().empty()) return {ScanError::kInvalidForm, reader.fault(), reader.position()};
  if (out.model.empty()) return {ScanError::kMissingField, "model", reader.position()};
  return {};
}

}  // namespace fairlead::codec
