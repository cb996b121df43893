// SPDX-License-Identifier: Apache-2.0
// TCP sockets and addresses. Every socket made here is non-blocking, close-on-exec and, when it
// carries bytes, has TCP_NODELAY: a held-back token is worse than a small packet.
// Errors name the address and errno's text. Names other than "localhost" are not resolved.
// Threads: values and free functions.
#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/net/unique_fd.h"

struct sockaddr;

namespace fairlead::net {

// An IPv4 or IPv6 address with its port.
class SocketAddress {
 public:
  SocketAddress() = default;
  // `host`: "10.0.0.1", "::1", "[::1]" or "localhost" (127.0.0.1).
  static Result<SocketAddress> parse(std::string_view host, std::uint16_t port);
  // "10.0.0.1:8000", "[::1]:8000", "localhost:8000".
  static Result<SocketAddress> parse(std::string_view host_and_port);
  static SocketAddress loopback(std::uint16_t port);
  static SocketAddress from(const sockaddr_storage& storage);

  std::uint16_t port() const;
  SocketAddress with_port(std::uint16_t port) const;
  std::string host() const;       // Without brackets.
  std::string to_string() const;  // "host:port", IPv6 in brackets.

  const sockaddr* get() const;
  socklen_t size() const;
  int family() const;

  bool operator==(const SocketAddress& other) const;
  std::size_t hash() const;

 private:
  union {
    sockaddr_in v4;
    sockaddr_in6 v6;
  } address_{};
};

// kReusePort: several sockets may listen on the port, and the kernel spreads connections.
enum class PortSharing { kExclusive, kReusePort };

Result<UniqueFd> listen_tcp(const SocketAddress& address, PortSharing sharing, int backlog = 4096);
// The address a socket is bound to; tells the port after listening on port 0.
Result<SocketAddress> local_address(int fd);
// Starts connecting; writability or an error event tells the outcome. An invalid descriptor, with
// errno's value in `os_error`, means that it failed already.
UniqueFd connect_tcp(const SocketAddress& address, int& os_error);
void set_no_delay(int fd);
// The pending error of a socket (SO_ERROR), or 0.
int take_socket_error(int fd);

}  // namespace fairlead::net

template <>
struct std::hash<fairlead::net::SocketAddress> {
  std::size_t operator()(const fairlead::net::SocketAddress& address) const {
    return address.hash();
  }
};
