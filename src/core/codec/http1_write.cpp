// SPDX-License-Identifier: Apache-2.0
#include "core/codec/http1_write.h"

#include <array>
#include <charconv>

#include "core/codec/http1_text.h"

namespace fairlead::codec {
namespace {

struct Phrase {
  int status;
  std::string_view text;
};

// RFC 9110 §15, RFC 6585, and 499 as NGINX uses it for a client that left.
constexpr std::array kPhrases = {
    Phrase{100, "Continue"},
    Phrase{101, "Switching Protocols"},
    Phrase{200, "OK"},
    Phrase{201, "Created"},
    Phrase{202, "Accepted"},
    Phrase{204, "No Content"},
    Phrase{206, "Partial Content"},
    Phrase{301, "Moved Permanently"},
    Phrase{302, "Found"},
    Phrase{304, "Not Modified"},
    Phrase{307, "Temporary Redirect"},
    Phrase{308, "Permanent Redirect"},
    Phrase{400, "Bad Request"},
    Phrase{401, "Unauthorized"},
    Phrase{403, "Forbidden"},
    Phrase{404, "Not Found"},
    Phrase{405, "Method Not Allowed"},
    Phrase{406, "Not Acceptable"},
    Phrase{408, "Request Timeout"},
    Phrase{409, "Conflict"},
    Phrase{410, "Gone"},
    Phrase{411, "Length Required"},
    Phrase{413, "Content Too Large"},
    Phrase{414, "URI Too Long"},
    Phrase{415, "Unsupported Media Type"},
    Phrase{417, "Expectation Failed"},
    Phrase{422, "Unprocessable Content"},
    Phrase{429, "Too Many Requests"},
    Phrase{431, "Request Header Fields Too Large"},
    Phrase{499, "Client Closed Request"},
    Phrase{500, "Internal Server Error"},
    Phrase{501, "Not Implemented"},
    Phrase{502, "Bad Gateway"},
    Phrase{503, "Service Unavailable"},
    Phrase{504, "Gateway Timeout"},
    Phrase{505, "HTTP Version Not Supported"},
};

void append_number(std::string& out, std::uint64_t value, int base) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, base).ptr;
  out.append(digits.data(), end);
}

}  // namespace

std::string_view reason_phrase(int status) {
  for (const Phrase& phrase : kPhrases) {
    if (phrase.status == status) return phrase.text;
  }
  return "Unknown";
}

void append_request_line(std::string& out, std::string_view method, std::string_view target) {
  out.append(method).append(" ").append(target).append(" HTTP/1.1\r\n");
}

void append_status_line(std::string& out, int status) {
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<std::uint64_t>(status), 10);
  out.append(" ").append(reason_phrase(status)).append("\r\n");
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  const std::size_t begin = out.size();
  out.append(value);
  for (std::size_t i = begin; i < out.size(); ++i) {
    if (!is_value_char(out[i])) out[i] = ' ';
  }
  out.append("\r\n");
}

void append_length(std::string& out, std::uint64_t bytes) {
  out.append("content-length: ");
  append_number(out, bytes, 10);
  out.append("\r\n");
}

void append_framing(std::string& out, BodyFraming framing) {
  if (framing.kind == BodyKind::kLength) append_length(out, framing.length);
  if (framing.kind == BodyKind::kChunked) out.append("transfer-encoding: chunked\r\n");
}

void append_head_end(std::string& out) { out.append("\r\n"); }

void append_chunk_size(std::string& out, std::uint64_t bytes) {
  append_number(out, bytes, 16);
  out.append("\r\n");
}

}  // namespace fairlead::codec
