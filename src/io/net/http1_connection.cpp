// SPDX-License-Identifier: Apache-2.0
// Reading requests; http1_exchange.cpp writes the responses.
#include "io/net/http1_connection.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "core/codec/http1_write.h"

namespace fairlead::net {
namespace {

constexpr std::size_t kInputBytes = 16 * 1024;
// Memory for a body before it comes: what is announced costs the peer nothing.
constexpr std::size_t kFirstBodyBytes = 1024 * 1024;
// The next request begins only when no more than this of the last response is unsent.
constexpr std::size_t kPipelinePending = 64 * 1024;
// A closing connection listens for this many bytes, and kLinger.
constexpr std::size_t kLingerBytes = 1024 * 1024;
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

Http1Connection::Http1Connection(Http1Server& server, const SocketAddress& peer)
    : server_(server),
      loop_(server.loop_),
      peer_(peer),
      stream_(loop_, *this, server.options_.pending_bytes_max),
      timer_(loop_, [this] { on_timer(); }),
      parser_(server.options_.head),
      body_reader_(server.options_.head),
      exchange_(*this) {}

Result<void> Http1Connection::open(StreamSocket socket) {
  auto opened = stream_.open(std::move(socket), TcpStream::State::kOpen);
  received_at_ = loop_.now();
  // A client that connects and stays silent is held to the head's time, not to the idle time.
  if (opened) timer_.arm(server_.options_.head_timeout);
  return opened;
}

void Http1Connection::on_connected() { ++server_.counters_.tls.done; }

void Http1Connection::on_readable() {
  if (state_ == State::kRunning && upgraded_) return tell_upgraded_input();
  if (state_ == State::kRunning || state_ == State::kFinished || state_ == State::kDead) return;
  pump();
}

void Http1Connection::pump() {
  std::size_t budget_end = stream_.bytes_received() + kPumpBytes;
  bool more = true;
  while (more) {
    switch (state_) {
      case State::kIdle:
      case State::kHead:
        more = read_head();
        break;
      case State::kBody:
        more = read_body();
        break;
      case State::kClosing:
        input_.clear();
        more = read_more(input_, kInputBytes);
        discarded_bytes_ += input_.size();
        if (discarded_bytes_ > kLingerBytes) return die();
        break;
      default:
        return;
    }
    if (more && stream_.bytes_received() >= budget_end) {
      loop_.at_turn_end(*this);
      return;
    }
  }
  if (state_ == State::kIdle && input_.empty()) input_.release();
  if (stream_.at_end()) on_input_end();
}

// One recv; false when there is nothing to be had now.
bool Http1Connection::read_more(Buffer& buffer, std::size_t bytes_max) {
  if (!stream_.readable()) return false;
  if (!buffer.has_memory()) buffer = loop_.buffers().take(kInputBytes);
  return stream_.read(buffer, bytes_max) > 0;
}

// True when something was achieved, so that the pump goes on.
bool Http1Connection::read_head() {
  if (input_.empty()) {
    if (!read_more(input_, kInputBytes)) return false;
  }
  if (state_ == State::kIdle) {
    state_ = State::kHead;
    received_at_ = loop_.now();
    timer_.arm(server_.options_.head_timeout);
  }
  if (requests_ == 0 && is_http2()) {
    if (input_.size() >= kHttp2Preface.size()) {
      state_ = State::kDead;
      timer_.cancel();
      server_.continue_as_http2(*this);
      return false;
    }
    return read_more(input_, kInputBytes);
  }
  switch (parser_.parse(input_.view())) {
    case codec::Http1Progress::kComplete:
      begin_body();
      return true;
    case codec::Http1Progress::kError:
      refuse_malformed(parser_.error());
      return true;
    case codec::Http1Progress::kNeedMore:
      break;
  }
  if (!stream_.readable()) return false;
  if (input_.free_space().empty()) loop_.buffers().grow(input_, kInputBytes);
  return read_more(input_, kInputBytes);
}

// Whether the connection begins as HTTP/2 does, as far as its bytes go (RFC 9113 §3.4). No HTTP/1
// method begins with PRI.
bool Http1Connection::is_http2() {
  const std::string_view seen = input_.view().substr(0, kHttp2Preface.size());
  return server_.options_.http2_streams_max > 0 && kHttp2Preface.starts_with(seen);
}

void Http1Connection::begin_body() {
  const codec::Http1RequestHead& head = parser_.head();
  const std::string_view rest = input_.view().substr(head.size);
  const bool has_length = head.body.kind == codec::BodyKind::kLength;
  if (has_length && head.body.length > server_.options_.body_bytes_max) {
    return refuse(RefusalKind::kBodyTooLarge, 413, codec::Http1Error::kNone,
                  "The request body is larger than this server accepts.");
  }
  state_ = State::kBody;
  body_skipped_ = false;
  note_ = 0;
  arm_body_timer();
  if (!has_length && head.body.kind == codec::BodyKind::kNone) {
    place_ = Place::kInput;
    return;
  }
  const auto length = static_cast<std::size_t>(head.body.length);
  const bool whole = has_length && rest.size() >= length;
  if (!whole && server_.handler_.wish_for_body(head, note_) == BodyWish::kSkip) {
    place_ = Place::kInput;
    body_skipped_ = true;
    return dispatch();
  }
  if (has_length && (whole || input_.free_space().size() >= length - rest.size())) {
    place_ = Place::kInput;
  } else if (has_length) {
    place_ = Place::kOwnBuffer;
    body_ = loop_.buffers().take(std::min(length, kFirstBodyBytes));
    body_.append(rest);
    if (!charge_body()) return;
  } else {
    place_ = Place::kDecoded;
    body_reader_.reset(head.body);
    encoded_ = loop_.buffers().take(std::max(rest.size(), kInputBytes));
    encoded_.append(rest);
  }
  if (head.expect_continue && !whole && rest.empty()) {
    stream_.write(codec::kContinue);
    stream_.flush();
  }
}

// Counts what the peer has sent of the body, which is what it touched of the memory; refuses the
// request when the server holds too much.
bool Http1Connection::charge_body() {
  if (server_.charge(charged_bytes_, body_.size())) return true;
  refuse(RefusalKind::kOutOfMemory, 503, codec::Http1Error::kNone,
         "The server holds as many request bytes as it may. Try again shortly.");
  return false;
}

bool Http1Connection::read_body() {
  const codec::Http1RequestHead& head = parser_.head();
  if (place_ == Place::kDecoded) return decode_chunks();
  const auto length = static_cast<std::size_t>(head.body.length);
  Buffer& buffer = place_ == Place::kInput ? input_ : body_;
  const std::size_t begin = place_ == Place::kInput ? head.size : 0;
  if (buffer.size() - begin >= length) {
    body_view_ = buffer.view().substr(begin, length);
    dispatch();
    return true;
  }
  // Not past a body of its own: the next request belongs into the input buffer.
  const std::size_t most = place_ == Place::kInput ? kInputBytes : length - buffer.size();
  // Doubling keeps the copies linear in the body.
  if (buffer.free_space().empty()) loop_.buffers().grow(buffer, std::min(most, buffer.size()));
  if (!read_more(buffer, most)) return false;
  if (place_ == Place::kOwnBuffer && !charge_body()) return true;
  arm_body_timer();
  return true;
}

bool Http1Connection::decode_chunks() {
  while (!encoded_.empty() && body_reader_.status() == codec::Http1Progress::kNeedMore) {
    const codec::Http1BodyReader::Step step = body_reader_.step(encoded_.view());
    if (body_reader_.payload_bytes() > server_.options_.body_bytes_max) {
      refuse(RefusalKind::kBodyTooLarge, 413, codec::Http1Error::kNone,
             "The request body is larger than this server accepts.");
      return true;
    }
    if (!step.payload.empty()) {
      // Doubling keeps the copies linear in the body.
      if (body_.free_space().size() < step.payload.size()) {
        loop_.buffers().grow(body_, std::max(step.payload.size(), body_.size()));
      }
      body_.append(step.payload);
      if (!charge_body()) return true;
    }
    encoded_.consume(step.consumed);
    if (body_reader_.status() == codec::Http1Progress::kError) break;
  }
  switch (body_reader_.status()) {
    case codec::Http1Progress::kComplete:
      if (!body_.has_memory()) body_ = loop_.buffers().take(1);
      body_view_ = body_.view();
      dispatch();
      return true;
    case codec::Http1Progress::kError:
      refuse_malformed(body_reader_.error());
      return true;
    case codec::Http1Progress::kNeedMore:
      break;
  }
  if (!read_more(encoded_, kInputBytes)) return false;
  arm_body_timer();
  return true;
}

void Http1Connection::arm_body_timer() {
  timer_.arm_at(std::min(loop_.now() + server_.options_.body_timeout,
                         received_at_ + server_.options_.receive_timeout));
}

void Http1Connection::dispatch() {
  complete_at_ = loop_.now();
  timer_.cancel();
  state_ = State::kRunning;
  started_ = raw_written_ = upgraded_ = bodiless_ = keep_alive_ = half_close_told_ = false;
  ++requests_;
  ++server_.counters_.requests;
  ++server_.counters_.requests_running;
  server_.handler_.on_request(exchange_);
  if (stream_.peer_half_closed()) on_peer_half_closed();
}

void Http1Connection::on_input_end() {
  switch (state_) {
    case State::kHead:
    case State::kBody:
      // It may still listen.
      ++server_.counters_.truncated_requests;
      return refuse(RefusalKind::kMalformed, 400, codec::Http1Error::kNone,
                    "The connection was closed in the middle of the request.");
    case State::kIdle:
      return die();
    case State::kClosing:
      if (stream_.pending_bytes() == 0) return die();
      return;
    default:
      return;
  }
}

void Http1Connection::on_peer_half_closed() {
  if (state_ != State::kRunning) return;
  if (stream_.hung_up()) return client_gone();
  if (upgraded_) return tell_upgraded_input();
  if (std::exchange(half_close_told_, true)) return;
  const bool started = started_;
  if (observer_ == nullptr || observer_->on_client_half_closed() == HalfClosed::kGone) {
    return client_gone();
  }
  if (started) return;
  if (parser_.head().version != codec::Http1Version::k11) return client_gone();
  stream_.write(codec::kContinue);
  stream_.flush();
}

void Http1Connection::tell_upgraded_input() {
  if (observer_ != nullptr) observer_->on_upgraded_input();
}

void Http1Connection::on_stream_end(StreamEnd end) {
  if (end == StreamEnd::kPendingLimit) ++server_.counters_.pending_limit_hits;
  if (end == StreamEnd::kTlsFailed) server_.counters_.tls.count(stream_.tls_failure());
  switch (state_) {
    case State::kRunning:
      return client_gone();
    case State::kHead:
    case State::kBody:
      ++server_.counters_.truncated_requests;
      return die();
    case State::kFinished:
      ++server_.counters_.clients_gone;
      return die();
    default:
      return die();
  }
}

void Http1Connection::on_writable() {
  if (state_ == State::kRunning && observer_ != nullptr) {
    observer_->on_drained();
  } else if (state_ == State::kFinished) {
    loop_.at_turn_end(*this);
  } else if (state_ == State::kClosing) {
    close_gracefully();
  }
}

void Http1Connection::on_timer() {
  switch (state_) {
    case State::kIdle:
      if (stream_.in_handshake()) {
        server_.counters_.tls.count(TlsFailure::kTimeout);
      } else {
        ++server_.counters_.idle_closed;
      }
      return die();
    case State::kHead:
      return refuse(RefusalKind::kHeadTimeout, 408, codec::Http1Error::kNone,
                    "The request head did not arrive in time.");
    case State::kBody:
      return refuse(RefusalKind::kBodyTimeout, 408, codec::Http1Error::kNone,
                    "The request body did not arrive in time.");
    case State::kClosing:
      if (fin_sent_) return die();
      break;
    case State::kDead:
      return;
    default:
      break;
  }
  if (stream_.pending_bytes() == 0) return;
  if (stream_.bytes_sent() != progress_mark_) return watch_writes();
  ++server_.counters_.write_timeouts;
  if (state_ == State::kRunning) return client_gone();
  stream_.abort();
  die();
}

void Http1Connection::on_turn_end() {
  if (state_ == State::kFinished) {
    if (!keep_alive_ || server_.draining()) {
      close_gracefully();
    } else if (stream_.pending_bytes() <= kPipelinePending) {
      next_request();
    }
    return;
  }
  if (state_ != State::kRunning && state_ != State::kDead) pump();
}

void Http1Connection::next_request() {
  if (place_ == Place::kDecoded) {
    input_ = std::move(encoded_);
  } else {
    const std::size_t in_input = place_ == Place::kInput ? body_view_.size() : 0;
    // A body of its own took everything that followed the head.
    input_.consume(place_ == Place::kInput ? parser_.head().size + in_input : input_.size());
  }
  release_body();
  if (input_.empty()) input_.release();
  parser_.reset();
  state_ = State::kIdle;
  received_at_ = loop_.now();
  timer_.arm(server_.options_.idle_timeout);
  pump();
}

void Http1Connection::release_body() {
  body_.release();
  encoded_.release();
  body_view_ = {};
  server_.charge(charged_bytes_, 0);
}

// What follows the body of a chunked request waits in encoded_, and a small body among the head.
void Http1Connection::drop_body() {
  if (place_ == Place::kInput) return;
  body_.release();
  if (encoded_.empty()) encoded_.release();
  body_view_ = {};
  server_.charge(charged_bytes_, 0);
}

std::optional<Time> Http1Connection::idle_since() const {
  if (state_ != State::kIdle || !input_.empty()) return std::nullopt;
  return received_at_;
}

void Http1Connection::on_server_draining() {
  if (state_ == State::kIdle) die();
}

void Http1Connection::close_gracefully() {
  state_ = State::kClosing;
  if (stream_.pending_bytes() > 0) return watch_writes();
  if (stream_.peer_half_closed()) return die();
  if (fin_sent_) return;
  fin_sent_ = true;
  stream_.shutdown_write();
  timer_.arm(kLinger);
  if (stream_.readable()) pump();
}

void Http1Connection::client_gone() {
  ++server_.counters_.clients_gone;
  --server_.counters_.requests_running;
  state_ = State::kDead;
  ExchangeObserver* observer = std::exchange(observer_, nullptr);
  stream_.close();
  if (observer != nullptr) observer->on_client_gone();
  die();
}

void Http1Connection::die() {
  state_ = State::kDead;
  timer_.cancel();
  stream_.close();
  server_.charge(charged_bytes_, 0);
  server_.forget(*this);
}

}  // namespace fairlead::net
