// SPDX-License-Identifier: Apache-2.0
#include "core/codec/http1_response.h"

#include <utility>

#include "core/codec/http1_text.h"
#include "core/codec/websocket.h"

namespace fairlead::codec {

void Http1ResponseParser::reset() {
  scanner_.reset();
  error_ = Http1Error::kNone;
  Http1Headers headers = std::move(head_.headers);
  headers.clear();
  head_ = {};
  head_.headers = std::move(headers);
}

Http1Progress Http1ResponseParser::parse(std::string_view bytes, ResponseTo request) {
  const Http1Progress progress = scanner_.scan(bytes, limits_);
  error_ = scanner_.error();
  if (progress != Http1Progress::kComplete) return progress;
  head_.size = scanner_.size();
  std::string_view lines = bytes.substr(scanner_.begin(), scanner_.size() - scanner_.begin());
  error_ = parse_status_line(take_line(lines), request);
  if (error_ == Http1Error::kNone) error_ = parse_fields(lines, limits_, head_.headers);
  if (error_ == Http1Error::kNone) error_ = check_fields(request);
  return error_ == Http1Error::kNone ? Http1Progress::kComplete : Http1Progress::kError;
}

// "HTTP/1.1 200 OK"; the reason, and with it the second space, may be missing (RFC 9112 §4).
Http1Error Http1ResponseParser::parse_status_line(std::string_view line, ResponseTo request) {
  const Http1Error version = parse_version(line.substr(0, 8), head_.version);
  if (version != Http1Error::kNone) return version;
  const bool shaped = line.size() >= 12 && line[8] == ' ' && line[9] >= '1' && line[9] <= '5' &&
                      is_digit(line[10]) && is_digit(line[11]) &&
                      (line.size() == 12 || line[12] == ' ');
  if (!shaped) return Http1Error::kInvalidStatusLine;
  head_.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (head_.status == 101 && request != ResponseTo::kWebSocket) {
    return Http1Error::kInvalidStatusLine;
  }
  head_.reason = line.size() > 13 ? line.substr(13) : std::string_view();
  return is_field_value(head_.reason) ? Http1Error::kNone : Http1Error::kInvalidStatusLine;
}

Http1Error Http1ResponseParser::check_fields(ResponseTo request) {
  Http1FramingFields fields;
  const Http1Error error = gather_framing(head_.headers, head_.version, fields);
  if (error != Http1Error::kNone) return error;
  head_.keep_alive = !fields.connection_close &&
                     (head_.version == Http1Version::k11 || fields.connection_keep_alive);
  if (head_.status == 101) {
    head_.body = BodyFraming::until_close();
    head_.keep_alive = false;
    return is_websocket_answer(head_) ? Http1Error::kNone : Http1Error::kInvalidStatusLine;
  }
  const bool bodiless = request == ResponseTo::kHead || head_.status < 200 || head_.status == 204 ||
                        head_.status == 304;
  if (bodiless) {
    head_.body = BodyFraming::none();
  } else if (fields.chunked) {
    head_.body = BodyFraming::chunked();
  } else if (fields.has_length) {
    head_.body = fields.length == 0 ? BodyFraming::none() : BodyFraming::of_length(fields.length);
  } else {
    head_.body = BodyFraming::until_close();
    head_.keep_alive = false;
  }
  return Http1Error::kNone;
}

}  // namespace fairlead::codec
