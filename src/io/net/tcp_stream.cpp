// SPDX-License-Identifier: Apache-2.0
#include "io/net/tcp_stream.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/assert.h"

namespace fairlead::net {
namespace {

// Below this, copying a piece to join the turn's other pieces is cheaper than a call for it.
constexpr std::size_t kGatherBytes = 16 * 1024;
constexpr std::size_t kPiecesMax = 16;

StreamEnd end_of(int error) {
  return error == ECONNRESET || error == EPIPE ? StreamEnd::kReset : StreamEnd::kIoError;
}

}  // namespace

TcpStream::TcpStream(EventLoop& loop, StreamHandler& handler, std::size_t pending_bytes_max)
    : loop_(loop), handler_(handler), pending_bytes_max_(pending_bytes_max) {}

TcpStream::~TcpStream() { detach(); }

Result<void> TcpStream::open(StreamSocket socket, State state) {
  fd_ = std::move(socket.fd);
  tls_ = std::move(socket.tls);
  tcp_connected_ = state == State::kOpen;
  state_ = state;
  if (tls_ && !tls_->established()) {
    state_ = State::kConnecting;
    if (!tls_->attach(fd_.get(), loop_.buffers())) {
      fd_.close();
      state_ = State::kClosed;
      return fail(ErrorCode::kUnavailable, "TLS: out of memory");
    }
  }
  writable_ = state_ == State::kOpen;
  readable_ = writable_ && tls_ && tls_->may_have_bytes();
  auto added = loop_.add(fd_.get(), kStreamEvents, *this);
  if (!added) {
    fd_.close();
    state_ = State::kClosed;
  }
  return added;
}

void TcpStream::detach() {
  if (!fd_.valid()) return;
  loop_.remove(fd_.get(), *this);
  fd_.close();
  tls_.reset();
  state_ = State::kClosed;
  readable_ = writable_ = false;
  pending_.release();
}

void TcpStream::close() { detach(); }

StreamSocket TcpStream::take_socket() {
  FAIRLEAD_ASSERT(pending_.empty());
  loop_.remove(fd_.get(), *this);
  state_ = State::kClosed;
  readable_ = writable_ = false;
  return {std::move(fd_), std::move(tls_)};
}

void TcpStream::abort() {
  if (!fd_.valid()) return;
  const linger reset{1, 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  detach();
}

void TcpStream::end(StreamEnd reason) {
  detach();
  handler_.on_stream_end(reason);
}

void TcpStream::fail_later(StreamEnd reason, int os_error) {
  if (failed_) return;
  failed_ = true;
  failure_ = reason;
  os_error_ = os_error;
  writable_ = false;
  loop_.at_turn_end(*this);
}

void TcpStream::finish_connect() {
  os_error_ = take_socket_error(fd_.get());
  if (os_error_ != 0) {
    end(os_error_ == ECONNREFUSED ? StreamEnd::kRefused : StreamEnd::kUnreachable);
    return;
  }
  tcp_connected_ = true;
  if (!tls_) established();
}

void TcpStream::go_on_handshake() {
  const TlsSession::Step step = tls_->handshake();
  // What it has to say may not be sent at once, an alert included; the next event goes on.
  const bool sent = tls_->flush();
  if (step == TlsSession::Step::kDone) {
    established();
  } else if (step == TlsSession::Step::kFailed) {
    tls_failure_ = tls_->failure();
    end(StreamEnd::kTlsFailed);
  } else if (!sent && errno != EAGAIN) {
    tls_failure_ = TlsFailure::kPeerClosed;
    end(StreamEnd::kTlsFailed);
  }
}

void TcpStream::established() {
  state_ = State::kOpen;
  writable_ = true;
  handler_.on_connected();
  if (owes_drained_ && open()) loop_.at_turn_end(*this);
}

void TcpStream::on_events(std::uint32_t events) {
  if (state_ == State::kConnecting) {
    if (!tcp_connected_) {
      if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
      finish_connect();
    }
    if (state_ == State::kConnecting && tls_) {
      go_on_handshake();
      // The first bytes behind the handshake may have been read with it.
      events |= EPOLLIN;
    }
  } else if ((events & EPOLLOUT) != 0 && !writable_ && !failed_) {
    writable_ = true;
    resume_writing();
  }
  if (state_ != State::kOpen) return;
  const bool closed = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  const bool hung = (events & (EPOLLHUP | EPOLLERR)) != 0;
  const bool newly_closed = (closed && !half_closed_) || (hung && !hung_up_);
  half_closed_ |= closed;
  hung_up_ |= hung;
  if (closed || (events & EPOLLIN) != 0) {
    readable_ = !at_end_ && !read_failed_;
    if (readable_) handler_.on_readable();
  }
  if (newly_closed && state_ == State::kOpen) handler_.on_peer_half_closed();
}

// EPOLLOUT also comes with every first event of a socket; only a stalled writer is told.
void TcpStream::resume_writing() {
  flush();
  if (state_ != State::kOpen || pending_bytes() > 0 || failed_) return;
  const bool stalled = std::exchange(want_writable_, false);
  const bool drained = std::exchange(owes_drained_, false);
  if (stalled || drained) handler_.on_writable();
}

void TcpStream::on_turn_end() {
  if (state_ == State::kClosed) return;
  if (owes_drained_ && writable_) resume_writing();
  if (!failed_ || state_ == State::kClosed) return;
  if (failure_ == StreamEnd::kReset && !at_end_ && !read_failed_) {
    // The peer may have answered before it closed; what it sent still waits in the kernel.
    readable_ = true;
    handler_.on_readable();
    if (state_ == State::kClosed) return;
  }
  end(failure_);
}

std::size_t TcpStream::read(Buffer& buffer, std::size_t bytes_max) {
  const std::size_t room = std::min(buffer.free_space().size(), bytes_max);
  FAIRLEAD_ASSERT(room > 0);
  if (state_ != State::kOpen) return 0;
  ssize_t got = 0;
  if (tls_) {
    got = tls_->read(buffer.free_space().first(room));
    const int error = errno;
    // Reading may have been answered, by a new key for instance.
    if (tls_->unsent() > 0 && writable_) flush_tls();
    errno = error;
  } else {
    do {
      got = ::recv(fd_.get(), buffer.free_space().data(), room, 0);
    } while (got < 0 && errno == EINTR);
  }
  if (got > 0) {
    const auto bytes = static_cast<std::size_t>(got);
    buffer.commit(bytes);
    bytes_received_ += bytes;
    // A short read emptied the socket, unless the peer's close waits behind it.
    readable_ = (tls_ ? tls_->may_have_bytes() : bytes == room) || half_closed_;
    return bytes;
  }
  readable_ = false;
  if (got == 0) {
    at_end_ = half_closed_ = true;
  } else if (errno != EAGAIN) {
    half_closed_ = read_failed_ = true;
    fail_later(end_of(errno), errno);
  }
  return 0;
}

// False when the kernel does not take all of the ciphertext now.
bool TcpStream::flush_tls() {
  if (tls_->broken()) {
    fail_later(StreamEnd::kReset, ECONNRESET);
    return false;
  }
  if (tls_->flush()) return true;
  writable_ = false;
  if (errno != EAGAIN) fail_later(end_of(errno), errno);
  return false;
}

std::size_t TcpStream::encrypt_some(std::span<const std::string_view> pieces) {
  std::size_t taken = 0;
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      const std::size_t some = tls_->write(piece);
      piece.remove_prefix(some);
      taken += some;
      // The session is full, or this was the last of a piece.
      if (!piece.empty() && !flush_tls()) break;
    }
    if (!piece.empty()) break;
  }
  flush_tls();
  bytes_sent_ += taken;
  return taken;
}

std::size_t TcpStream::send_some(std::span<const std::string_view> pieces) {
  if (tls_) return encrypt_some(pieces);
  std::array<iovec, kPiecesMax> vectors;
  std::size_t count = 0;
  std::size_t total = 0;
  for (const std::string_view piece : pieces) {
    if (piece.empty()) continue;
    if (count == kPiecesMax) break;
    vectors[count++] = {const_cast<char*>(piece.data()), piece.size()};
    total += piece.size();
  }
  if (count == 0) return 0;
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = count;
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    writable_ = false;
    if (errno != EAGAIN) fail_later(end_of(errno), errno);
    return 0;
  }
  const auto bytes = static_cast<std::size_t>(sent);
  bytes_sent_ += bytes;
  if (bytes < total) writable_ = false;
  return bytes;
}

std::size_t TcpStream::send(std::span<const std::string_view> pieces) {
  FAIRLEAD_ASSERT(pending_.empty());
  const std::size_t sent = open() && writable_ ? send_some(pieces) : 0;
  if (!writable_) want_writable_ = true;
  return sent;
}

void TcpStream::write(std::span<const std::string_view> pieces) {
  if (state_ == State::kClosed || failed_) return;
  FAIRLEAD_ASSERT(pieces.size() < kPiecesMax);
  std::size_t total = 0;
  for (const std::string_view piece : pieces) total += piece.size();
  if (total == 0) return;
  std::size_t sent = 0;
  if (open() && writable_ && pending_.size() + total > kGatherBytes) {
    std::array<std::string_view, kPiecesMax> all;
    all[0] = pending_.view();
    std::ranges::copy(pieces, all.begin() + 1);
    sent = send_some({all.data(), pieces.size() + 1});
    const std::size_t of_pending = std::min(sent, pending_.size());
    pending_.consume(of_pending);
    sent -= of_pending;
  }
  keep_rest(pieces, total, sent);
}

void TcpStream::keep_rest(std::span<const std::string_view> pieces, std::size_t total,
                          std::size_t sent) {
  if (failed_) return;
  if (total == sent) {
    if (pending_.empty()) pending_.release();
    owes_drained_ |= tls_unsent() > 0;
    // The owner may have seen the gathered bytes as pending and wait to be told.
    if (owes_drained_) loop_.at_turn_end(*this);
    return;
  }
  if (pending_.size() + (total - sent) > pending_bytes_max_) {
    fail_later(StreamEnd::kPendingLimit, 0);
    return;
  }
  owes_drained_ = true;
  loop_.buffers().grow(pending_, total - sent);
  for (const std::string_view piece : pieces) {
    const std::size_t skip = std::min(sent, piece.size());
    sent -= skip;
    pending_.append(piece.substr(skip));
  }
  if (writable_) loop_.at_turn_end(*this);
}

void TcpStream::flush() {
  if (!open() || !writable_ || failed_) return;
  if (!pending_.empty()) {
    const std::string_view piece = pending_.view();
    pending_.consume(send_some({&piece, 1}));
  }
  if (!pending_.empty() || failed_) return;
  pending_.release();
  if (tls_ && shutdown_wanted_) tls_->close_notify();
  if (tls_ && !flush_tls()) return;
  if (shutdown_wanted_) ::shutdown(fd_.get(), SHUT_WR);
}

void TcpStream::shutdown_write() {
  shutdown_wanted_ = true;
  flush();
}

}  // namespace fairlead::net
