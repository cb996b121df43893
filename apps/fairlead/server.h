// SPDX-License-Identifier: Apache-2.0
// Server: one running `fairlead serve`, put together: router, control, admin page, gateway. It is
// what the serve command, the demo and the tests of the whole program start.
// Threads: owned by one thread; on_drained runs in a gateway worker's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "fronts/admin/admin_server.h"
#include "fronts/gateway/gateway.h"
#include "reports.h"
#include "router/control.h"
#include "router/router.h"

namespace fairlead::app {

// Where generations come from: `file`, if it has a name, is watched, and `build` reads it.
struct Configuration {
  std::string file;
  router::GenerationSource build;
};

enum class Profiling : std::uint8_t { kOff, kOn };

class Server {
 public:
  // All or nothing: an address in use or an unreadable file is an error and nothing runs.
  // `configuration` makes further generations while it runs; without one there is no reload.
  static Result<std::unique_ptr<Server>> start(
      const std::shared_ptr<const router::Generation>& first, std::uint64_t process_seed, Log& log,
      Configuration configuration = {}, Profiling profiling = Profiling::kOff);
  ~Server();

  std::uint16_t gateway_port() const { return gateway_->ports().front(); }
  // "127.0.0.1:8080, [::1]:8080": where clients are listened to, with the ports in use.
  std::string listening() const;
  std::uint16_t admin_port() const { return admin_->port(); }
  bool ready() const { return control_->ready(); }
  // From any thread: reads the configuration again, and opens the access log anew, so that a
  // rotated file is let go.
  void reload();
  router::Router& router() { return *router_; }

  // /readyz says no from here on, while requests are served as before.
  void announce_end() { admin_->set_draining(); }
  // How the workers' time divides; empty without Profiling::kOn.
  std::string profile() const;
  // Lets running requests end, for at most the drain timeout.
  void drain(std::function<void()> on_drained);

 private:
  Server() = default;

  std::vector<config::HostPort> listen_;
  MetricRegistry metrics_;
  std::unique_ptr<router::Router> router_;
  std::unique_ptr<router::Control> control_;
  std::unique_ptr<admin::AdminServer> admin_;
  std::unique_ptr<Reports> reports_;
  std::unique_ptr<gateway::ProfileBoard> profiles_;
  std::unique_ptr<gateway::Gateway> gateway_;
};

}  // namespace fairlead::app
