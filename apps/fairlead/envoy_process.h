// SPDX-License-Identifier: Apache-2.0
// EnvoyProcess: an Envoy of the demo's own, in front of an endpoint picker of this process.
// Threads: one owner. It ends with its owner, by its own process id.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "io/net/event_loop.h"

namespace fairlead::app {

class EnvoyProcess {
 public:
  // `command` is a program that runs Envoy in its place, given the ports to listen on and of the
  // picker. Waits until it listens; fails when it ends before, or takes too long.
  // Turns the idle loop meanwhile.
  static Result<std::unique_ptr<EnvoyProcess>> start(const std::string& command,
                                                     std::uint16_t picker_port,
                                                     net::EventLoop& loop);
  ~EnvoyProcess();
  EnvoyProcess(const EnvoyProcess&) = delete;
  EnvoyProcess& operator=(const EnvoyProcess&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  EnvoyProcess(pid_t pid, std::uint16_t port) : pid_(pid), port_(port) {}
  Result<void> wait_until_listening(const std::string& command, net::EventLoop& loop);

  pid_t pid_;
  std::uint16_t port_;
};

}  // namespace fairlead::app
