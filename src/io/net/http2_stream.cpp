// SPDX-License-Identifier: Apache-2.0
// Reading requests; http2_response.cpp writes the responses.
#include "io/net/http2_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "io/net/http2_connection.h"

namespace fairlead::net {
namespace {

// Memory for a body before it comes, on the word of a Content-Length.
constexpr std::size_t kFirstBodyBytes = 1024 * 1024;
// What HTTP/1.1 adds to a header: ": " and the line's end.
constexpr std::size_t kHeaderFrameBytes = 4;

}  // namespace

Http2Stream::Http2Stream(Http1Server& server)
    : server_(server), loop_(server.loop_), timer_(loop_, [this] { on_timer(); }) {}

const SocketAddress& Http2Stream::peer() const { return connection_->peer_; }

void Http2Stream::begin(Http2Connection& connection, std::int32_t id) {
  connection_ = &connection;
  id_ = id;
  state_ = State::kHead;
  request_done_ = started_ = bodiless_ = response_done_ = owes_drained_ = overflowed_ = false;
  reset_by_peer_ = blamed_ = false;
  head_error_ = codec::Http1Error::kNone;
  fields_.clear();
  head_.headers.clear();
  head_.method = head_.target = head_.host = {};
  head_.body = codec::BodyFraming::chunked();
  head_.expect_continue = false;
  head_bytes_ = cookies_ = 0;
  sent_bytes_ = note_ = 0;
  observer_ = nullptr;
  received_at_ = loop_.now();
  timer_.arm(server_.options_.head_timeout);
}

void Http2Stream::add_header(std::string_view name, std::string_view value) {
  if (head_error_ != codec::Http1Error::kNone) return;
  head_bytes_ += name.size() + value.size() + kHeaderFrameBytes;
  if (head_bytes_ > server_.options_.head.head_bytes) {
    head_error_ = codec::Http1Error::kHeadTooLarge;
    return;
  }
  // The four pseudo-headers are HTTP/1.1's request line and Host.
  constexpr std::size_t kPseudoHeaders = 4;
  if (fields_.size() >= server_.options_.head.headers + kPseudoHeaders) {
    head_error_ = codec::Http1Error::kTooManyHeaders;
    return;
  }
  if (name == "cookie") ++cookies_;
  fields_.push_back({head_text_.size(), name.size(), value.size()});
  loop_.buffers().grow(head_text_, name.size() + value.size());
  head_text_.append(name);
  head_text_.append(value);
}

std::string_view Http2Stream::name_of(const Field& field) const {
  return head_text_.view().substr(field.begin, field.name_size);
}

std::string_view Http2Stream::value_of(const Field& field) const {
  return head_text_.view().substr(field.begin + field.name_size, field.value_size);
}

// HTTP/2 may send a cookie header in pieces, HTTP/1.1 may not (RFC 9113 §8.2.3).
void Http2Stream::join_cookies() {
  static constexpr std::string_view kName = "cookie";
  constexpr std::string_view kBetween = "; ";
  if (cookies_ < 2) return;
  const auto is_cookie = [this](const Field& field) { return name_of(field) == kName; };
  std::size_t total = kName.size();
  for (const Field& field : fields_) {
    if (is_cookie(field)) total += field.value_size + kBetween.size();
  }
  loop_.buffers().grow(head_text_, total);
  Field joined{head_text_.size(), kName.size(), 0};
  head_text_.append(kName);
  for (const Field& field : fields_) {
    if (!is_cookie(field)) continue;
    if (head_text_.size() > joined.begin + kName.size()) head_text_.append(kBetween);
    head_text_.append(value_of(field));
  }
  joined.value_size = head_text_.size() - joined.begin - kName.size();
  std::erase_if(fields_, is_cookie);
  fields_.push_back(joined);
}

// One header but the pseudo-headers.
codec::Http1Error Http2Stream::take_field(std::string_view name, std::string_view value) {
  if (!codec::is_token(name)) return codec::Http1Error::kInvalidHeaderName;
  if (!codec::is_field_value(value)) return codec::Http1Error::kInvalidHeaderValue;
  head_.headers.push_back({name, value});
  if (name == "host") {
    head_.host = value;
  } else if (name == "expect") {
    if (value != "100-continue") return codec::Http1Error::kUnsupportedExpectation;
    head_.expect_continue = true;
  } else if (name == "content-length") {
    // nghttp2 has seen that it is one number, and holds the body to it.
    std::uint64_t length = 0;
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), length);
    if (parsed.ec != std::errc()) return codec::Http1Error::kInvalidContentLength;
    head_.body = codec::BodyFraming::of_length(length);
  }
  return codec::Http1Error::kNone;
}

// After the last header, as only now the bytes stay where they are.
codec::Http1Error Http2Stream::build_head() {
  if (head_error_ != codec::Http1Error::kNone) return head_error_;
  join_cookies();
  std::string_view authority;
  for (const Field& field : fields_) {
    const std::string_view name = name_of(field);
    if (name == ":method") {
      head_.method = value_of(field);
    } else if (name == ":path") {
      head_.target = value_of(field);
    } else if (name == ":authority") {
      authority = value_of(field);
    } else if (!name.starts_with(':')) {
      const codec::Http1Error error = take_field(name, value_of(field));
      if (error != codec::Http1Error::kNone) return error;
    }
  }
  if (!authority.empty()) {
    if (head_.host.empty()) head_.headers.push_back({"host", authority});
    head_.host = authority;
  }
  if (head_.target.empty()) head_.target = authority;  // CONNECT has no path.
  if (!codec::is_authority(head_.host)) return codec::Http1Error::kInvalidHost;
  return codec::check_request_line(head_.method, head_.target);
}

void Http2Stream::on_head(Follows follows) {
  request_done_ = follows == Follows::kNothing;
  const codec::Http1Error error = build_head();
  if (error != codec::Http1Error::kNone) return refuse_malformed(error);
  const bool has_length = head_.body.kind == codec::BodyKind::kLength;
  if (has_length && head_.body.length > server_.options_.body_bytes_max) return refuse_body_size();
  state_ = State::kBody;
  if (request_done_) {
    head_.body = codec::BodyFraming::none();
    return on_request_end();
  }
  if (server_.handler_.wish_for_body(head_, note_) == BodyWish::kSkip) return dispatch();
  arm_body_timer();
  if (!head_.expect_continue) return;
  const nghttp2_nv status = {reinterpret_cast<std::uint8_t*>(const_cast<char*>(":status")),
                             reinterpret_cast<std::uint8_t*>(const_cast<char*>("100")), 7, 3,
                             NGHTTP2_NV_FLAG_NONE};
  nghttp2_submit_headers(connection_->session_, NGHTTP2_FLAG_NONE, id_, nullptr, &status, 1,
                         nullptr);
}

void Http2Stream::arm_body_timer() {
  timer_.arm_at(std::min(loop_.now() + server_.options_.body_timeout,
                         received_at_ + server_.options_.receive_timeout));
}

// Stores the next bytes of the body; false when the request was refused instead.
bool Http2Stream::store(std::string_view bytes) {
  if (body_.size() + bytes.size() > server_.options_.body_bytes_max) {
    refuse_body_size();
    return false;
  }
  if (body_.free_space().size() < bytes.size() || !body_.has_memory()) {
    // Doubling keeps the copies linear in the body; what is announced costs the client nothing.
    std::size_t more = std::max(bytes.size(), body_.size());
    if (head_.body.kind == codec::BodyKind::kLength) {
      const std::size_t left = static_cast<std::size_t>(head_.body.length) - body_.size();
      more = std::min(left, body_.empty() ? kFirstBodyBytes : more);
    }
    loop_.buffers().grow(body_, std::max(more, bytes.size()));
  }
  body_.append(bytes);
  if (server_.charge(charged_bytes_, body_.size())) return true;
  refuse(RefusalKind::kOutOfMemory, 503, codec::Http1Error::kNone,
         "The server holds as many request bytes as it may. Try again shortly.");
  return false;
}

void Http2Stream::add_body(std::string_view bytes) {
  nghttp2_session* const session = connection_->session_;
  // A refused request's bytes take nothing from the others; its own window stays shut.
  if (state_ != State::kBody || !store(bytes)) {
    nghttp2_session_consume_connection(session, bytes.size());
    return;
  }
  nghttp2_session_consume(session, id_, bytes.size());
  arm_body_timer();
}

void Http2Stream::on_request_end() {
  request_done_ = true;
  if (state_ == State::kBody) dispatch();
}

void Http2Stream::dispatch() {
  complete_at_ = loop_.now();
  timer_.cancel();
  if (!body_.has_memory()) body_ = loop_.buffers().take(1);
  state_ = State::kRunning;
  ++server_.counters_.requests;
  ++server_.counters_.requests_running;
  server_.handler_.on_request(*this);
}

void Http2Stream::refuse_body_size() {
  refuse(RefusalKind::kBodyTooLarge, 413, codec::Http1Error::kNone,
         "The request body is larger than this server accepts.");
}

void Http2Stream::refuse_malformed(codec::Http1Error error) {
  ++server_.counters_.malformed[static_cast<std::size_t>(error)];
  const std::string message =
      fmt::format("The request is not acceptable HTTP: {}.", codec::to_string(error));
  refuse(RefusalKind::kMalformed, codec::status_for(error), error, message);
}

// Answers the request without the handler; the connection lives on.
void Http2Stream::refuse(RefusalKind kind, int status, codec::Http1Error error,
                         std::string_view message) {
  timer_.cancel();
  release_body();
  RefusalReply reply = server_.shape_refusal({kind, status, error, message});
  reply.headers.push_back({"content-type", reply.content_type});
  submit(status, reply.headers, codec::BodyFraming::of_length(reply.body.size()));
  queue(reply.body);
  response_done_ = true;
  state_ = State::kFinished;
  watch_writes();
}

// nghttp2 has no such stream any more.
void Http2Stream::on_closed() {
  switch (state_) {
    case State::kRunning:
      return client_gone();
    case State::kHead:
    case State::kBody:
      ++server_.counters_.truncated_requests;
      return;
    case State::kFinished:
      if (response_done_ && !out_.empty()) ++server_.counters_.clients_gone;
      return;
    case State::kFree:
      return;
  }
}

void Http2Stream::release() {
  FAIRLEAD_ASSERT(state_ != State::kRunning);
  state_ = State::kFree;
  timer_.cancel();
  connection_ = nullptr;
  observer_ = nullptr;
  head_text_.release();
  out_.release();
  release_body();
}

void Http2Stream::release_body() {
  body_.release();
  server_.charge(charged_bytes_, 0);
}

void Http2Stream::on_timer() {
  switch (state_) {
    case State::kHead:
      // The other streams wait for the end of this head (RFC 9113 §6.10).
      return connection_->head_timed_out();
    case State::kBody:
      return refuse(RefusalKind::kBodyTimeout, 408, codec::Http1Error::kNone,
                    "The request body did not arrive in time.");
    default:
      break;
  }
  if (out_.empty()) return;
  if (sent_bytes_ != progress_mark_) return watch_writes();
  ++server_.counters_.write_timeouts;
  reset_stream(NGHTTP2_CANCEL);
  if (state_ == State::kRunning) client_gone();
}

}  // namespace fairlead::net
