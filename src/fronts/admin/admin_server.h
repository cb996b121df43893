// SPDX-License-Identifier: Apache-2.0
// AdminServer: the operator's side of a running router, on the control loop: metrics, health of
// this process and the fleet table. It listens where the settings say, on loopback by default,
// because everybody who can reach it can read the configuration.
//   GET /metrics          Prometheus text 0.0.4
//   GET /healthz          200 while the process answers
//   GET /readyz           200 when requests can be served, else 503 with the reason
//   GET /debug/endpoints  the fleet table as JSON
//   GET /debug/config     the effective configuration as YAML
//   GET /debug/profile    how the workers' time divides, when that is asked for
//   GET /debug/log        the log level; PUT /debug/log?level=debug sets it
// Threads: the control loop's thread; made before it starts, destroyed after Control::stop().
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <utility>

#include "io/net/http1_server.h"
#include "router/control.h"
#include "router/router.h"

namespace fairlead::admin {

class AdminServer final : private net::RequestHandler {
 public:
  AdminServer(router::Router& router, router::Control& control);

  Result<void> listen(const config::HostPort& address);
  std::uint16_t port() const { return server_.local_port(); }
  // What /debug/profile shows; without it there is no such page. Before the loop runs.
  void show_profile(std::function<std::string()> report) { profile_ = std::move(report); }
  // From any thread: /readyz answers 503 from here on.
  void set_draining() { draining_.store(true, std::memory_order_relaxed); }

 private:
  void on_request(net::ServerExchange& exchange) override;
  void ready(net::ServerExchange& exchange) const;
  void log_level(net::ServerExchange& exchange);
  std::string endpoints_json() const;

  router::Router& router_;
  router::Control& control_;
  std::function<std::string()> profile_;
  net::Http1Server server_;
  std::atomic<bool> draining_{false};
};

}  // namespace fairlead::admin
