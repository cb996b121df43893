// SPDX-License-Identifier: Apache-2.0
#include "envoy_process.h"

#include <spawn.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <string>

#include "io/net/http_fetch.h"
#include "io/net/socket.h"

extern char** environ;

namespace fairlead::app {
namespace {

constexpr Duration kPatience = std::chrono::seconds(15);
constexpr Duration kLook = std::chrono::milliseconds(20);

// One that is free now. Envoy says no port that it chose, so it has to be told one.
Result<std::uint16_t> free_port() {
  auto listener = net::listen_tcp(net::SocketAddress::loopback(0), net::PortSharing::kExclusive);
  if (!listener) return tl::unexpected(listener.error());
  const auto address = net::local_address(listener->get());
  if (!address) return tl::unexpected(address.error());
  return address->port();
}

}  // namespace

Result<std::unique_ptr<EnvoyProcess>> EnvoyProcess::start(const std::string& command,
                                                          std::uint16_t picker_port,
                                                          net::EventLoop& loop) {
  const auto port = free_port();
  if (!port) return tl::unexpected(port.error());
  std::string listen = std::to_string(*port);
  std::string picker = std::to_string(picker_port);
  std::string program = command;
  char* arguments[] = {program.data(), listen.data(), picker.data(), nullptr};
  pid_t pid = 0;
  // Signals that this process takes in a thread of its own are blocked here, and would be there.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const int failed =
      ::posix_spawnp(&pid, command.c_str(), nullptr, &attributes, arguments, environ);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) return fail(ErrorCode::kIo, "{}: {}", command, std::strerror(failed));
  std::unique_ptr<EnvoyProcess> envoy(new EnvoyProcess(pid, *port));
  if (auto up = envoy->wait_until_listening(command, loop); !up) return tl::unexpected(up.error());
  return envoy;
}

// Any answer will do: without a picker's word Envoy has none of an engine's.
Result<void> EnvoyProcess::wait_until_listening(const std::string& command, net::EventLoop& loop) {
  net::UpstreamPool pool(loop, {});
  net::HttpFetch fetch(pool);
  bool answered = false;
  loop.run_turn(Duration{});
  const Time deadline = loop.now() + kPatience;
  while (!answered) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      return fail(ErrorCode::kUnavailable, "{} ended before it listened", command);
    }
    if (loop.now() > deadline) {
      return fail(ErrorCode::kUnavailable, "{} does not listen after {:.0f} s", command,
                  to_seconds(kPatience));
    }
    if (!fetch.active()) {
      fetch.get(net::SocketAddress::loopback(port_), "/", {},
                [&](const Result<net::FetchReply>& reply) { answered = reply.has_value(); });
    }
    loop.run_turn(kLook);
  }
  return {};
}

EnvoyProcess::~EnvoyProcess() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace fairlead::app
