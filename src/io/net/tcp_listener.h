// SPDX-License-Identifier: Apache-2.0
// TcpListener: accepts connections of one listening socket and hands each on, to a server of this
// loop or, by post(), of another. When the process is out of descriptors it rests and tries again.
// Threads: the loop's thread.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "io/net/event_loop.h"
#include "io/net/socket.h"
#include "io/net/timer.h"

namespace fairlead::net {

class TcpListener final : private FdHandler {
 public:
  // `on_accept` is given non-blocking sockets with TCP_NODELAY; it may close() the listener.
  using OnAccept = std::function<void(UniqueFd fd, const SocketAddress& peer)>;
  TcpListener(EventLoop& loop, OnAccept on_accept);
  ~TcpListener() { close(); }
  TcpListener(const TcpListener&) = delete;
  TcpListener& operator=(const TcpListener&) = delete;

  [[nodiscard]] Result<void> listen(const SocketAddress& address, PortSharing sharing);
  // Takes over a listening, non-blocking socket.
  [[nodiscard]] Result<void> adopt(UniqueFd listener);
  // The address in use, with the port the kernel chose for port 0.
  const SocketAddress& local_address() const { return local_; }
  void close();
  // Leaves new connections in the kernel's backlog, until resume().
  void pause();
  void resume();
  // Times that there was no descriptor or memory for a connection.
  std::uint64_t failures() const { return failures_; }

 private:
  void on_events(std::uint32_t events) override;
  void watch();

  EventLoop& loop_;
  OnAccept on_accept_;
  UniqueFd listener_;
  bool watching_ = false;  // The loop tells of new connections.
  bool paused_ = false;
  SocketAddress local_;
  Timer again_;
  std::uint64_t failures_ = 0;
};

}  // namespace fairlead::net
