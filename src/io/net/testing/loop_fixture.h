// SPDX-License-Identifier: Apache-2.0
// For tests of this room and of those above: a loop that runs until an effect shows, and a client
// that sends bytes exactly as told. Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "io/net/event_loop.h"
#include "io/net/socket.h"
#include "io/net/tcp_stream.h"

namespace fairlead::net::testing {

// Runs turns until `effect` holds; false when `deadline` of real time passed first.
inline bool run_until(EventLoop& loop, const std::function<bool()>& effect,
                      Duration deadline = std::chrono::seconds(60)) {
  const SteadyClock clock;
  const Time end = clock.now() + deadline;
  while (!effect()) {
    if (clock.now() > end) return false;
    loop.run_turn(std::chrono::milliseconds(5));
  }
  return true;
}

inline std::unique_ptr<EventLoop> make_loop(const EventLoopOptions& options = {}) {
  auto loop = EventLoop::create(options);
  FAIRLEAD_ASSERT(loop.has_value());
  return std::move(*loop);
}

enum class Reading { kEager, kHeld };

// A client of raw bytes.
class RawClient final : private StreamHandler {
 public:
  RawClient(EventLoop& loop, const SocketAddress& address, Reading reading = Reading::kEager)
      : loop_(loop), reading_(reading), stream_(loop, *this, std::size_t{64} << 20) {
    int error = 0;
    UniqueFd fd = connect_tcp(address, error);
    FAIRLEAD_ASSERT(fd.valid());
    fd_ = fd.get();
    FAIRLEAD_ASSERT(stream_.open(std::move(fd), TcpStream::State::kConnecting).has_value());
  }

  void send(std::string_view bytes) {
    if (stream_.open()) {
      stream_.write(bytes);
      stream_.flush();
    } else {
      unsent_.append(bytes);
    }
  }
  void close() { stream_.close(); }
  void abort() { stream_.abort(); }
  void read_on() {
    reading_ = Reading::kEager;
    on_readable();
  }

  const std::string& received() const { return received_; }
  std::string take() { return std::exchange(received_, {}); }
  bool connected() const { return stream_.open(); }
  bool ended() const { return ended_ || stream_.at_end(); }
  bool was_reset() const { return reset_; }
  int fd() const { return fd_; }

 private:
  void on_connected() override {
    if (!unsent_.empty()) stream_.write(std::exchange(unsent_, {}));
    stream_.flush();
  }
  void on_readable() override {
    if (reading_ == Reading::kHeld) return;
    Buffer buffer = loop_.buffers().take(64 * 1024);
    while (stream_.readable()) {
      stream_.read(buffer);
      received_.append(buffer.view());
      buffer.clear();
    }
  }
  void on_writable() override {}
  void on_peer_half_closed() override {}
  void on_stream_end(StreamEnd end) override {
    ended_ = true;
    reset_ = end == StreamEnd::kReset;
  }

  EventLoop& loop_;
  Reading reading_;
  int fd_ = -1;
  TcpStream stream_;
  std::string unsent_;
  std::string received_;
  bool ended_ = false;
  bool reset_ = false;
};

}  // namespace fairlead::net::testing
