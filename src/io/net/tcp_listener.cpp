// SPDX-License-Identifier: Apache-2.0
#include "io/net/tcp_listener.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace fairlead::net {
namespace {

constexpr int kAcceptsPerTurn = 64;
// Out of descriptors: the listener would report readiness for ever.
constexpr Duration kRest = std::chrono::milliseconds(50);

}  // namespace

TcpListener::TcpListener(EventLoop& loop, OnAccept on_accept)
    : loop_(loop), on_accept_(std::move(on_accept)), again_(loop, [this] { watch(); }) {}

Result<void> TcpListener::listen(const SocketAddress& address, PortSharing sharing) {
  auto listener = listen_tcp(address, sharing);
  if (!listener) return tl::unexpected<Error>(std::move(listener.error()));
  return adopt(std::move(*listener));
}

Result<void> TcpListener::adopt(UniqueFd listener) {
  auto local = net::local_address(listener.get());
  if (!local) return tl::unexpected<Error>(std::move(local.error()));
  // Level-triggered, so that connections beyond one turn's share are not forgotten.
  auto added = loop_.add(listener.get(), EPOLLIN, *this);
  if (!added) return added;
  watching_ = true;
  local_ = *local;
  listener_ = std::move(listener);
  watch();
  return {};
}

void TcpListener::close() {
  if (!listener_.valid()) return;
  again_.cancel();
  if (std::exchange(watching_, false)) loop_.remove(listener_.get(), *this);
  listener_.close();
}

void TcpListener::pause() {
  paused_ = true;
  watch();
}

void TcpListener::resume() {
  paused_ = false;
  watch();
}

void TcpListener::watch() {
  const bool wanted = listener_.valid() && !paused_ && !again_.armed();
  if (wanted == watching_) return;
  watching_ = wanted;
  if (!wanted) {
    loop_.remove(listener_.get(), *this);
  } else if (!loop_.add(listener_.get(), EPOLLIN, *this)) {
    watching_ = false;
    again_.arm(kRest);
  }
}

void TcpListener::on_events(std::uint32_t) {
  for (int i = 0; i < kAcceptsPerTurn && listener_.valid(); ++i) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    UniqueFd fd(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&storage), &size,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.valid()) {
      set_no_delay(fd.get());
      on_accept_(std::move(fd), SocketAddress::from(storage));
      continue;
    }
    if (errno == EAGAIN) return;
    // The peer left before we came, or the network has a passing fault (accept(2)).
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    ++failures_;
    again_.arm(kRest);
    return watch();
  }
}

}  // namespace fairlead::net
