// SPDX-License-Identifier: Apache-2.0
#include "io/net/upstream_connection.h"

#include <cerrno>
#include <utility>

#include "base/assert.h"
#include "core/codec/websocket.h"

namespace fairlead::net {
namespace {

// One connection's share of a turn, in recv calls.
constexpr int kReadsPerTurn = 16;
// Requests are borrowed, never queued in the stream.
constexpr std::size_t kNothingPending = 0;

}  // namespace

UpstreamConnection::UpstreamConnection(UpstreamPool& pool, const SocketAddress& address,
                                       std::string_view tls_name)
    : pool_(pool),
      loop_(pool.loop_),
      address_(address),
      tls_name_(tls_name),
      stream_(loop_, *this, kNothingPending),
      timer_(loop_, [this] { on_timer(); }),
      total_timer_(loop_, [this] { fail(UpstreamFailure::kTotalTimeout); }),
      parser_(pool.options_.head),
      body_reader_(pool.options_.head) {}

void UpstreamConnection::connect() {
  ++pool_.counters_.connects;
  int os_error = 0;
  UniqueFd fd = connect_tcp(address_, os_error);
  if (!fd.valid()) {
    fail_at_turn_end(os_error == ECONNREFUSED ? UpstreamFailure::kConnectRefused
                                              : UpstreamFailure::kConnectFailed,
                     os_error);
    return;
  }
  StreamSocket socket{std::move(fd), nullptr};
  if (!tls_name_.empty()) {
    if (pool_.options_.tls) socket.tls = pool_.options_.tls->new_session(tls_name_);
    if (!socket.tls) return fail_at_turn_end(UpstreamFailure::kTlsFailed, 0);
  }
  if (!stream_.open(std::move(socket), TcpStream::State::kConnecting)) {
    fail_at_turn_end(UpstreamFailure::kConnectFailed, ENOMEM);
  }
}

void UpstreamConnection::fail_at_turn_end(UpstreamFailure failure, int os_error) {
  failing_ = true;
  failure_ = failure;
  os_error_ = os_error;
  loop_.at_turn_end(*this);
}

void UpstreamConnection::begin(UpstreamRequest& request) {
  request_ = &request;
  piece_ = piece_offset_ = 0;
  head_done_ = response_started_ = false;
  parser_.reset();
  if (failing_) return;
  total_timer_.arm(request.call_.total_timeout);
  if (!stream_.open()) {
    timer_.arm(request.call_.connect_timeout);
    return;
  }
  tell_connected_ = true;
  loop_.at_turn_end(*this);
  arm_phase_timer();
  send_request();
}

void UpstreamConnection::on_connected() {
  if (!tls_name_.empty()) ++pool_.counters_.tls.done;
  arm_phase_timer();
  request_->observer_.on_connected(ConnectionUse::kFresh);
  if (request_ != nullptr) send_request();
}

void UpstreamConnection::send_request() {
  const auto& pieces = request_->call_.pieces;
  while (piece_ < kUpstreamPiecesMax) {
    std::array<std::string_view, kUpstreamPiecesMax> rest{};
    std::size_t total = 0;
    for (std::size_t i = piece_; i < kUpstreamPiecesMax; ++i) {
      rest[i] = pieces[i].substr(i == piece_ ? piece_offset_ : 0);
      total += rest[i].size();
    }
    std::size_t sent = total == 0 ? 0 : stream_.send(rest);
    const bool all = sent == total;
    while (piece_ < kUpstreamPiecesMax && sent >= rest[piece_].size()) {
      sent -= rest[piece_++].size();
      piece_offset_ = 0;
    }
    piece_offset_ += sent;
    if (!all) return;
  }
}

void UpstreamConnection::on_writable() {
  if (request_ == nullptr) return;
  send_request();
  if (upgraded()) request_->observer_.on_send_ready();
}

// What answers 101 before it has the whole head gets the rest of that first.
std::size_t UpstreamConnection::send_upgraded(std::string_view bytes) {
  FAIRLEAD_ASSERT(upgraded());
  return request_sent() ? stream_.send({&bytes, 1}) : 0;
}

void UpstreamConnection::on_readable() {
  if (request_ == nullptr) {
    // Only TLS has business of its own, such as tickets; else nobody asked for these bytes, or the
    // peer closed.
    const bool nothing = nothing_behind();
    input_.release();
    if (!nothing || !usable() || stream_.at_end()) close_unused();
  } else if (!request_->paused_) {
    pump();
  }
}

void UpstreamConnection::on_peer_half_closed() {
  if (request_ == nullptr) close_unused();
}

void UpstreamConnection::close_unused() {
  if (idle_) {
    ++pool_.counters_.idle_closed_by_peer;
    pool_.remove_idle(*this);
  }
  pool_.discard(*this);
}

void UpstreamConnection::on_stream_end(StreamEnd end) {
  os_error_ = stream_.os_error();
  if (request_ == nullptr) return close_unused();
  switch (end) {
    case StreamEnd::kRefused:
      return fail(UpstreamFailure::kConnectRefused);
    case StreamEnd::kUnreachable:
      return fail(UpstreamFailure::kConnectFailed);
    case StreamEnd::kTlsFailed:
      pool_.counters_.tls.count(stream_.tls_failure());
      return fail(UpstreamFailure::kTlsFailed);
    default:
      return fail_broken(UpstreamFailure::kResetMidReply);
  }
}

void UpstreamConnection::on_turn_end() {
  if (request_ == nullptr) return;
  if (std::exchange(failing_, false)) return fail(failure_);
  if (std::exchange(tell_connected_, false)) {
    request_->observer_.on_connected(ConnectionUse::kReused);
  }
  if (request_ != nullptr && !request_->paused_) pump();
}

void UpstreamConnection::on_resume() {
  if (head_done_ || stream_.open()) arm_phase_timer();
  loop_.at_turn_end(*this);
}

void UpstreamConnection::arm_phase_timer() {
  if (upgraded()) return timer_.cancel();
  if (request_->paused_) return;
  timer_.arm(head_done_ ? request_->call_.idle_timeout : request_->call_.reply_timeout);
}

void UpstreamConnection::on_timer() {
  if (request_ == nullptr) {
    if (!idle_) return;
    ++pool_.counters_.idle_timeouts;
    pool_.remove_idle(*this);
    pool_.discard(*this);
  } else if (stream_.state() == TcpStream::State::kConnecting) {
    if (stream_.in_handshake()) pool_.counters_.tls.count(TlsFailure::kTimeout);
    fail(UpstreamFailure::kConnectTimeout);
  } else {
    fail(head_done_ ? UpstreamFailure::kIdleTimeout : UpstreamFailure::kReplyTimeout);
  }
}

void UpstreamConnection::pump() {
  for (int reads = 0; request_ != nullptr && !request_->paused_;) {
    if (!input_.empty() && process()) continue;
    if (request_ == nullptr) return;
    if (request_->paused_ || !stream_.readable()) break;
    if (++reads > kReadsPerTurn) {
      loop_.at_turn_end(*this);
      return;
    }
    loop_.buffers().grow(input_, input_.empty() ? pool_.options_.read_bytes : 1024);
    if (stream_.read(input_) == 0) break;
    response_started_ = true;
    // A head in pieces does not earn more time.
    if (head_done_) arm_phase_timer();
    if (!process() && request_ == nullptr) return;
  }
  if (request_ == nullptr) return;
  if (stream_.at_end() && !request_->paused_) return at_end();
  if (input_.empty()) input_.release();
}

// True when it took something, and there may be more to take; false when it needs more bytes or
// the request is over.
bool UpstreamConnection::process() { return head_done_ ? process_body() : process_head(); }

bool UpstreamConnection::process_head() {
  const UpstreamRequest* const request = request_;
  switch (parser_.parse(input_.view(), request_->call_.method)) {
    case codec::Http1Progress::kNeedMore:
      return false;
    case codec::Http1Progress::kError:
      fail(UpstreamFailure::kMalformed, parser_.error());
      return false;
    case codec::Http1Progress::kComplete:
      break;
  }
  const codec::Http1ResponseHead& head = parser_.head();
  if (head.interim()) {
    input_.consume(head.size);
    parser_.reset();
    return true;
  }
  if (head.status == 101 && !codec::accepts_key(head, request_->call_.websocket_key)) {
    fail(UpstreamFailure::kMalformed, codec::Http1Error::kInvalidStatusLine);
    return false;
  }
  head_done_ = true;
  body_reader_.reset(head.body);
  arm_phase_timer();
  request_->observer_.on_response_head(head);
  if (request_ != request) return false;
  input_.consume(head.size);
  if (body_reader_.status() == codec::Http1Progress::kComplete) {
    complete();
    return false;
  }
  return !input_.empty();
}

bool UpstreamConnection::process_body() {
  const UpstreamRequest* const request = request_;
  std::vector<std::string_view>& pieces = pool_.pieces_;
  pieces.clear();
  const std::string_view raw = input_.view();
  const std::size_t consumed = body_reader_.walk(raw, pieces);
  if (body_reader_.status() == codec::Http1Progress::kError) {
    fail(UpstreamFailure::kMalformed, body_reader_.error());
    return false;
  }
  if (consumed > 0) {
    request_->observer_.on_body(raw.substr(0, consumed), pieces);
    if (request_ != request) return false;
    input_.consume(consumed);
  }
  if (body_reader_.status() == codec::Http1Progress::kComplete) complete();
  return false;
}

void UpstreamConnection::at_end() {
  if (head_done_) {
    body_reader_.on_close();
    if (body_reader_.status() == codec::Http1Progress::kComplete) return complete();
  }
  fail_broken(UpstreamFailure::kTruncated);
}

void UpstreamConnection::fail_broken(UpstreamFailure mid_reply) {
  if (response_started_) return fail(mid_reply);
  fail(used_before_ ? UpstreamFailure::kStale : UpstreamFailure::kClosedBeforeReply);
}

UpstreamRequest* UpstreamConnection::unbind() {
  UpstreamRequest* request = std::exchange(request_, nullptr);
  request->connection_ = nullptr;
  request->active_ = false;
  timer_.cancel();
  total_timer_.cancel();
  tell_connected_ = false;
  return request;
}

// Bytes behind the response would be taken for the next request's answer. The last recv may have
// filled its buffer exactly, and then no event will tell of what is behind it.
bool UpstreamConnection::nothing_behind() {
  if (!stream_.readable()) return true;
  loop_.buffers().grow(input_, 1);
  return stream_.read(input_) == 0;
}

void UpstreamConnection::complete() {
  const bool nothing_left = input_.empty();
  // on_body()'s last views live until on_complete() returns.
  const Buffer seen = std::move(input_);
  const bool reusable =
      parser_.head().keep_alive && nothing_left && request_sent() && nothing_behind() && usable();
  UpstreamRequest* request = unbind();
  ++pool_.counters_.completed;
  input_.release();
  if (reusable) {
    pool_.put_back(*this);
  } else {
    pool_.discard(*this);
  }
  request->observer_.on_complete();
}

void UpstreamConnection::fail(UpstreamFailure failure, codec::Http1Error parse_error) {
  if (request_ == nullptr) return;
  UpstreamError error;
  error.failure = failure;
  error.parse_error = parse_error;
  error.tls_failure = stream_.tls_failure();
  error.os_error = os_error_;
  error.connected = stream_.bytes_sent() > 0 || stream_.open();
  error.request_sent = request_sent();
  error.response_started = response_started_;
  UpstreamRequest* request = unbind();
  ++pool_.counters_.failures[static_cast<std::size_t>(failure)];
  pool_.discard(*this);
  request->observer_.on_failed(error);
}

void UpstreamConnection::cancel() {
  unbind();
  ++pool_.counters_.cancelled;
  pool_.discard(*this);
}

}  // namespace fairlead::net
