// SPDX-License-Identifier: Apache-2.0
// The response side of Http1Connection, behind Http1Exchange.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/assert.h"
#include "core/codec/http1_write.h"
#include "core/codec/websocket.h"
#include "io/net/http1_connection.h"

namespace fairlead::net {

void Http1Connection::start(int status, HeaderSpan headers, codec::BodyFraming framing,
                            std::string_view body) {
  if (state_ != State::kRunning) return;
  FAIRLEAD_ASSERT(!started_);
  const codec::Http1RequestHead& head = parser_.head();
  started_ = true;
  bodiless_ = head.method == "HEAD" || status == 204 || status == 304 || status < 200;
  const bool old_client = head.version == codec::Http1Version::k10;
  const bool no_http_may_follow =
      (head.method == "GET" || head.body.kind == codec::BodyKind::kNone) &&
      codec::mentions_websocket(head);
  if (old_client && framing.kind == codec::BodyKind::kChunked) {
    framing = codec::BodyFraming::until_close();
  }
  framing_ = framing;
  response_left_ = framing.length;
  keep_alive_ = head.keep_alive && !body_skipped_ && !server_.draining() &&
                requests_ < server_.options_.requests_per_connection_max &&
                (bodiless_ || framing.kind != codec::BodyKind::kUntilClose) && !no_http_may_follow;
  if (keep_alive_ && !server_.restraint_.keeps_alive) {
    keep_alive_ = false;
    ++server_.counters_.keep_alives_ended;
  }
  std::string& out = server_.head_scratch_;
  out.clear();
  codec::append_status_line(out, status);
  for (const codec::Http1Header& header : headers) {
    codec::append_header(out, header.name, header.value);
  }
  // kNone is a body of no bytes, which only some statuses may leave unsaid (RFC 9112 §6.3).
  const bool says_length = status != 204 && status != 304 && status >= 200;
  if (says_length && framing.kind == codec::BodyKind::kNone) codec::append_length(out, 0);
  if (says_length) codec::append_framing(out, framing);
  if (!keep_alive_) codec::append_header(out, "connection", "close");
  if (keep_alive_ && old_client) codec::append_header(out, "connection", "keep-alive");
  codec::append_head_end(out);
  const std::array<std::string_view, 2> pieces = {out, bodiless_ ? std::string_view() : body};
  response_left_ -= std::min<std::uint64_t>(response_left_, body.size());
  stream_.write(pieces);
  watch_writes();
}

void Http1Connection::write_payload(std::string_view payload) {
  if (state_ != State::kRunning || payload.empty()) return;
  FAIRLEAD_ASSERT(started_ && !raw_written_);
  if (framing_.kind == codec::BodyKind::kLength) {
    FAIRLEAD_ASSERT(payload.size() <= response_left_);
    response_left_ -= payload.size();
  }
  if (bodiless_ || framing_.kind == codec::BodyKind::kNone) return;
  if (framing_.kind == codec::BodyKind::kChunked) {
    std::string& size = server_.head_scratch_;
    size.clear();
    codec::append_chunk_size(size, payload.size());
    const std::array<std::string_view, 3> pieces = {size, payload, codec::kChunkEnd};
    stream_.write(pieces);
  } else {
    stream_.write(payload);
  }
  watch_writes();
}

void Http1Connection::write_raw(std::string_view bytes) {
  if (state_ != State::kRunning || bytes.empty()) return;
  FAIRLEAD_ASSERT(started_);
  raw_written_ = true;
  if (framing_.kind == codec::BodyKind::kLength) {
    FAIRLEAD_ASSERT(bytes.size() <= response_left_);
    response_left_ -= bytes.size();
  }
  if (bodiless_) return;
  stream_.write(bytes);
  watch_writes();
}

void Http1Connection::upgrade(HeaderSpan headers) {
  if (state_ != State::kRunning) return;
  FAIRLEAD_ASSERT(!started_);
  started_ = raw_written_ = upgraded_ = true;
  framing_ = codec::BodyFraming::until_close();
  upgraded_at_ = parser_.head().size;
  std::string& out = server_.head_scratch_;
  out.clear();
  codec::append_status_line(out, 101);
  for (const codec::Http1Header& header : headers) {
    codec::append_header(out, header.name, header.value);
  }
  codec::append_header(out, "connection", "Upgrade");
  codec::append_header(out, "upgrade", "websocket");
  codec::append_head_end(out);
  stream_.write(out);
  watch_writes();
}

// The head stays where it is: its views are valid until the exchange ends.
std::size_t Http1Connection::read_upgraded(Buffer& buffer) {
  if (state_ != State::kRunning || !upgraded_) return 0;
  const std::string_view ahead = input_.view().substr(upgraded_at_);
  if (ahead.empty()) return stream_.readable() ? stream_.read(buffer) : 0;
  const std::size_t bytes = std::min(ahead.size(), buffer.free_space().size());
  buffer.append(ahead.substr(0, bytes));
  upgraded_at_ += bytes;
  return bytes;
}

bool Http1Connection::upgraded_input_ended() const {
  return stream_.at_end() && upgraded_at_ == input_.size();
}

// Armed once and asked again when it fires: arming for every write would cost more than it tells.
void Http1Connection::watch_writes() {
  if (timer_.armed() && state_ == State::kRunning) return;
  progress_mark_ = stream_.bytes_sent();
  timer_.arm(server_.options_.write_timeout);
}

void Http1Connection::finish() {
  if (state_ != State::kRunning) return;
  FAIRLEAD_ASSERT(started_);
  if (!bodiless_ && framing_.kind == codec::BodyKind::kLength && response_left_ > 0) {
    return abort();
  }
  if (!bodiless_ && framing_.kind == codec::BodyKind::kChunked && !raw_written_) {
    stream_.write(codec::kLastChunk);
  }
  end_exchange(State::kFinished);
  loop_.at_turn_end(*this);
}

void Http1Connection::abort() {
  if (state_ != State::kRunning) return;
  end_exchange(State::kDead);
  stream_.abort();
  die();
}

void Http1Connection::end_exchange(State next) {
  state_ = next;
  observer_ = nullptr;
  --server_.counters_.requests_running;
  server_.connections_.count_bytes(*this);
}

void Http1Connection::refuse_malformed(codec::Http1Error error) {
  ++server_.counters_.malformed[static_cast<std::size_t>(error)];
  const std::string message =
      fmt::format("The request is not acceptable HTTP: {}.", codec::to_string(error));
  refuse(RefusalKind::kMalformed, codec::status_for(error), error, message);
}

void Http1Connection::refuse(RefusalKind kind, int status, codec::Http1Error error,
                             std::string_view message) {
  const std::string& text = server_.compose_refusal({kind, status, error, message});
  state_ = State::kClosing;
  stream_.write(text);
  stream_.flush();
  input_.release();
  release_body();
  close_gracefully();
}

const codec::Http1RequestHead& Http1Exchange::head() const { return connection_.parser_.head(); }
std::string_view Http1Exchange::body() const { return connection_.body_view_; }
const SocketAddress& Http1Exchange::peer() const { return connection_.peer_; }
EventLoop& Http1Exchange::loop() const { return connection_.loop_; }
Time Http1Exchange::received_at() const { return connection_.received_at_; }
Time Http1Exchange::complete_at() const { return connection_.complete_at_; }
bool Http1Exchange::accepts_chunked() const { return head().version == codec::Http1Version::k11; }
bool Http1Exchange::started() const { return connection_.started_; }
std::uint64_t Http1Exchange::note() const { return connection_.note_; }
void Http1Exchange::set_observer(ExchangeObserver* observer) { connection_.observer_ = observer; }

void Http1Exchange::send_response(int status, HeaderSpan headers, std::string_view body) {
  connection_.start(status, headers, codec::BodyFraming::of_length(body.size()), body);
  connection_.finish();
}

void Http1Exchange::start(int status, HeaderSpan headers, codec::BodyFraming framing) {
  connection_.start(status, headers, framing, {});
}

void Http1Exchange::write_chunk(std::string_view payload) { connection_.write_payload(payload); }
void Http1Exchange::write_raw(std::string_view bytes) { connection_.write_raw(bytes); }
void Http1Exchange::finish() { connection_.finish(); }
void Http1Exchange::abort() { connection_.abort(); }
bool Http1Exchange::can_upgrade() const { return head().version == codec::Http1Version::k11; }
void Http1Exchange::upgrade(HeaderSpan headers) { connection_.upgrade(headers); }
std::size_t Http1Exchange::read_upgraded(Buffer& buffer) {
  return connection_.read_upgraded(buffer);
}
bool Http1Exchange::upgraded_input_ended() const { return connection_.upgraded_input_ended(); }
std::size_t Http1Exchange::pending_bytes() const { return connection_.stream_.pending_bytes(); }
void Http1Exchange::drop_body() { connection_.drop_body(); }

}  // namespace fairlead::net
