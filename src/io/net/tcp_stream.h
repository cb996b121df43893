// SPDX-License-Identifier: Apache-2.0
// TcpStream: a byte stream over one non-blocking socket, registered once with kStreamEvents, with
// TLS on it or not; who reads and writes does not see the difference.
//
// Reading is pulled: on_readable() says that read() may find bytes; not reading is back-pressure.
// Writing is either borrowed (send(): what the kernel takes now, nothing kept) or queued (write():
// small pieces gather until the end of the turn and leave in one call; the unsent rest is kept,
// bounded by Options::pending_bytes_max).
// Threads: the loop's thread. The owner gives a stream away with EventLoop::destroy_later() when a
// callback may be on the stack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "io/net/buffer_pool.h"
#include "io/net/event_loop.h"
#include "io/net/socket.h"
#include "io/net/tls_session.h"

namespace fairlead::net {

enum class StreamEnd : std::uint8_t {
  kReset,         // RST, or a write to a closed peer.
  kRefused,       // connect: nobody listens.
  kUnreachable,   // connect: any other failure; os_error() has errno.
  kIoError,       // Any other errno.
  kPendingLimit,  // The owner wrote on although pending_bytes_max was reached.
  kTlsFailed,     // The handshake did; tls_failure() says how.
};

// A socket on its way from one stream to another.
struct StreamSocket {
  UniqueFd fd;
  std::unique_ptr<TlsSession> tls;  // Null for plain TCP.
};

class StreamHandler {
 public:
  virtual void on_connected() {}
  virtual void on_readable() = 0;
  // The kernel takes bytes again: everything queued has left, or send() may go on.
  virtual void on_writable() = 0;
  // The peer closed its sending side (RDHUP), and again when hung_up() comes to hold. Bytes may
  // still wait to be read.
  virtual void on_peer_half_closed() = 0;
  // The stream is dead and its descriptor closed; called once, never after close() or abort().
  virtual void on_stream_end(StreamEnd end) = 0;

 protected:
  ~StreamHandler() = default;
};

class TcpStream final : private FdHandler, private TurnTask {
 public:
  enum class State : std::uint8_t { kConnecting, kOpen, kClosed };

  TcpStream(EventLoop& loop, StreamHandler& handler, std::size_t pending_bytes_max);
  ~TcpStream();

  // Takes a connected or connecting socket. A failure to register closes it.
  [[nodiscard]] Result<void> open(UniqueFd fd, State state) {
    return open({std::move(fd), nullptr}, state);
  }
  // With a TLS session not established yet, the stream is connecting until its handshake is done.
  // How long that may take is the owner's to say.
  [[nodiscard]] Result<void> open(StreamSocket socket, State state);

  State state() const { return state_; }
  bool open() const { return state_ == State::kOpen; }
  bool in_handshake() const { return state_ == State::kConnecting && tcp_connected_; }
  TlsFailure tls_failure() const { return tls_failure_; }

  // One recv into the buffer's free space, which must not be empty. Returns the bytes read: 0 when
  // there is nothing now, or when the stream ended, which at_end() or a later callback tells.
  // At most `bytes_max` are read.
  std::size_t read(Buffer& buffer, std::size_t bytes_max = static_cast<std::size_t>(-1));
  // Whether read() is worth calling: the last recv filled its space, or an event came since.
  bool readable() const { return readable_; }
  // The peer's FIN was read: no more bytes will come.
  bool at_end() const { return at_end_; }
  bool peer_half_closed() const { return half_closed_; }
  // The connection is over in both directions: what is written reaches nobody.
  bool hung_up() const { return hung_up_; }

  // Writes what the kernel takes now; returns the bytes taken. Only with pending_bytes() == 0.
  std::size_t send(std::span<const std::string_view> pieces);
  // Queues: what is small leaves at the end of this turn, what is large at once. Nothing of
  // `pieces` is needed after the call.
  void write(std::span<const std::string_view> pieces);
  void write(std::string_view piece) { write({&piece, 1}); }
  // Sends what is queued now.
  void flush();
  std::size_t pending_bytes() const { return pending_.size() + tls_unsent(); }

  // Leaves the loop with its socket open, for another stream to open() it; nothing may be queued.
  StreamSocket take_socket();
  void shutdown_write();  // FIN, once everything queued has left.
  void close();           // At once; queued bytes are lost.
  void abort();           // Likewise, and the peer sees a reset.
  int os_error() const { return os_error_; }
  std::uint64_t bytes_sent() const { return bytes_sent_; }
  std::uint64_t bytes_received() const { return bytes_received_; }

 private:
  void on_events(std::uint32_t events) override;
  void on_turn_end() override;
  void finish_connect();
  void established();
  void go_on_handshake();
  bool flush_tls();
  std::size_t encrypt_some(std::span<const std::string_view> pieces);
  std::size_t tls_unsent() const { return tls_ ? tls_->unsent() : 0; }
  void resume_writing();
  void end(StreamEnd reason);
  void fail_later(StreamEnd reason, int os_error);
  void keep_rest(std::span<const std::string_view> pieces, std::size_t total, std::size_t sent);
  std::size_t send_some(std::span<const std::string_view> pieces);
  void detach();

  EventLoop& loop_;
  StreamHandler& handler_;
  std::size_t pending_bytes_max_;
  UniqueFd fd_;
  std::unique_ptr<TlsSession> tls_;
  State state_ = State::kClosed;
  bool readable_ = false;
  bool writable_ = false;
  bool at_end_ = false;
  bool half_closed_ = false;
  bool hung_up_ = false;
  bool read_failed_ = false;
  bool want_writable_ = false;  // The owner waits for on_writable().
  bool owes_drained_ = false;   // Something was pending, and on_writable() has not told of its end.
  bool shutdown_wanted_ = false;
  bool tcp_connected_ = false;
  TlsFailure tls_failure_ = TlsFailure::kOther;
  int os_error_ = 0;
  StreamEnd failure_ = StreamEnd::kIoError;  // Reported at turn end, never inside a call.
  bool failed_ = false;
  Buffer pending_;
  std::uint64_t bytes_sent_ = 0;
  std::uint64_t bytes_received_ = 0;
};

}  // namespace fairlead::net
