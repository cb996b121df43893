// SPDX-License-Identifier: Apache-2.0
#include "io/net/socket.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace fairlead::net {
namespace {

constexpr int kOn = 1;

std::size_t mix(std::size_t hash, std::size_t value) {
  return (hash ^ value) * 0x9E3779B97F4A7C15ULL ^ (hash >> 29);
}

}  // namespace

Result<SocketAddress> SocketAddress::parse(std::string_view host, std::uint16_t port) {
  std::string text(host);
  if (text == "localhost") text = "127.0.0.1";
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  SocketAddress address;
  if (inet_pton(AF_INET, text.c_str(), &address.address_.v4.sin_addr) == 1) {
    address.address_.v4.sin_family = AF_INET;
    address.address_.v4.sin_port = htons(port);
    return address;
  }
  if (inet_pton(AF_INET6, text.c_str(), &address.address_.v6.sin6_addr) == 1) {
    address.address_.v6.sin6_family = AF_INET6;
    address.address_.v6.sin6_port = htons(port);
    return address;
  }
  return fail(ErrorCode::kInvalidArgument,
              "address '{}': expected an IPv4 or IPv6 address or localhost", host);
}

Result<SocketAddress> SocketAddress::parse(std::string_view host_and_port) {
  const std::size_t colon = host_and_port.rfind(':');
  if (colon == std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "address '{}': expected host:port", host_and_port);
  }
  const std::string_view host = host_and_port.substr(0, colon);
  const std::string_view digits = host_and_port.substr(colon + 1);
  // Without brackets the last group of an IPv6 address would be taken for the port.
  if (host.find(':') != std::string_view::npos && !host.starts_with('[')) {
    return fail(ErrorCode::kInvalidArgument, "address '{}': write IPv6 as [address]:port",
                host_and_port);
  }
  std::uint16_t port = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) {
    return fail(ErrorCode::kInvalidArgument, "address '{}': the port is a number from 0 to 65535",
                host_and_port);
  }
  return parse(host, port);
}

SocketAddress SocketAddress::loopback(std::uint16_t port) {
  SocketAddress address;
  address.address_.v4.sin_family = AF_INET;
  address.address_.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.address_.v4.sin_port = htons(port);
  return address;
}

SocketAddress SocketAddress::from(const sockaddr_storage& storage) {
  SocketAddress address;
  if (storage.ss_family == AF_INET) {
    std::memcpy(&address.address_.v4, &storage, sizeof(sockaddr_in));
  } else if (storage.ss_family == AF_INET6) {
    std::memcpy(&address.address_.v6, &storage, sizeof(sockaddr_in6));
  }
  return address;
}

int SocketAddress::family() const { return address_.v4.sin_family; }

std::uint16_t SocketAddress::port() const {
  return ntohs(family() == AF_INET6 ? address_.v6.sin6_port : address_.v4.sin_port);
}

SocketAddress SocketAddress::with_port(std::uint16_t port) const {
  SocketAddress address = *this;
  if (family() == AF_INET6) {
    address.address_.v6.sin6_port = htons(port);
  } else {
    address.address_.v4.sin_port = htons(port);
  }
  return address;
}

std::string SocketAddress::host() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = family() == AF_INET6 ? static_cast<const void*>(&address_.v6.sin6_addr)
                                           : static_cast<const void*>(&address_.v4.sin_addr);
  const char* name = inet_ntop(family(), bytes, text.data(), text.size());
  return name == nullptr ? std::string("unspecified") : std::string(name);
}

std::string SocketAddress::to_string() const {
  return family() == AF_INET6 ? fmt::format("[{}]:{}", host(), port())
                              : fmt::format("{}:{}", host(), port());
}

const sockaddr* SocketAddress::get() const { return reinterpret_cast<const sockaddr*>(&address_); }

socklen_t SocketAddress::size() const {
  return family() == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

bool SocketAddress::operator==(const SocketAddress& other) const {
  if (family() != other.family() || port() != other.port()) return false;
  if (family() == AF_INET6) {
    return std::memcmp(&address_.v6.sin6_addr, &other.address_.v6.sin6_addr, sizeof(in6_addr)) == 0;
  }
  return address_.v4.sin_addr.s_addr == other.address_.v4.sin_addr.s_addr;
}

std::size_t SocketAddress::hash() const {
  if (family() != AF_INET6) return mix(address_.v4.sin_addr.s_addr, port());
  std::array<std::uint64_t, 2> halves{};
  std::memcpy(halves.data(), &address_.v6.sin6_addr, sizeof halves);
  return mix(mix(halves[0], halves[1]), port());
}

Result<UniqueFd> listen_tcp(const SocketAddress& address, PortSharing sharing, int backlog) {
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto refuse = [&](std::string_view step) {
    const int error = errno;
    return fail(ErrorCode::kIo, "listen on {}: {}: {}", address.to_string(), step,
                std::strerror(error));
  };
  if (!fd.valid()) return refuse("socket");
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &kOn, sizeof kOn);
  // IPv4 has listeners of its own; a dual-stack socket would take their port.
  if (address.family() == AF_INET6) {
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &kOn, sizeof kOn);
  }
  if (sharing == PortSharing::kReusePort &&
      setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &kOn, sizeof kOn) != 0) {
    return refuse("SO_REUSEPORT");
  }
  if (::bind(fd.get(), address.get(), address.size()) != 0) return refuse("bind");
  if (::listen(fd.get(), backlog) != 0) return refuse("listen");
  return fd;
}

Result<SocketAddress> local_address(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return fail(ErrorCode::kIo, "getsockname: {}", std::strerror(errno));
  }
  return SocketAddress::from(storage);
}

UniqueFd connect_tcp(const SocketAddress& address, int& os_error) {
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  os_error = 0;
  if (!fd.valid()) {
    os_error = errno;
    return {};
  }
  set_no_delay(fd.get());
  if (::connect(fd.get(), address.get(), address.size()) != 0 && errno != EINPROGRESS) {
    os_error = errno;
    return {};
  }
  return fd;
}

void set_no_delay(int fd) { setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn); }

int take_socket_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

}  // namespace fairlead::net
