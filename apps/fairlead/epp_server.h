// SPDX-License-Identifier: Apache-2.0
// EppServer: one running `fairlead epp`, put together: router, control, health, metrics and admin
// pages, the ext_proc front. It is what the epp command and the tests of the whole program start.
// Threads: owned by one thread; on_drained runs in a worker's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/metrics.h"
#include "fronts/admin/admin_server.h"
#include "fronts/extproc/extproc.h"
#include "fronts/extproc/health_server.h"
#include "fronts/extproc/pool_metrics.h"
#include "reports.h"
#include "router/control.h"
#include "router/router.h"
#include "server.h"

namespace fairlead::app {

class EppServer {
 public:
  // All or nothing: an address in use or an unreadable file is an error and nothing runs.
  // `configuration` makes further generations while it runs; without one there is no reload.
  static Result<std::unique_ptr<EppServer>> start(
      const std::shared_ptr<const router::Generation>& first, std::uint64_t process_seed, Log& log,
      Configuration configuration = {});
  ~EppServer();

  std::uint16_t port() const { return front_->ports().front(); }
  std::uint16_t health_port() const { return health_->port(); }
  std::uint16_t metrics_port() const { return metrics_server_->port(); }
  std::uint16_t admin_port() const { return admin_->port(); }
  bool ready() const { return control_->ready(); }
  // From any thread: reads the configuration again, and opens the access log anew.
  void reload() {
    reports_->reopen();
    control_->reload();
  }
  router::Router& router() { return *router_; }
  // Of Envoy, open now.
  std::size_t connections() const { return front_->connections(); }

  // Health says no from here on, while streams are served as before.
  void announce_end();
  // Lets running streams end, for at most the drain timeout.
  void drain(std::function<void()> on_drained);

 private:
  explicit EppServer(Log& log) : log_(log) {}
  Result<void> open_admin(const config::HostPort& address);
  Result<void> open_pages(const config::EppSettings& settings);
  Result<std::shared_ptr<const net::TlsServerContext>> open_tls(
      const config::EppSettings& settings);

  Log& log_;
  MetricRegistry metrics_;
  std::unique_ptr<router::Router> router_;
  std::unique_ptr<router::Control> control_;
  std::unique_ptr<extproc::PoolMetrics> pool_metrics_;
  std::unique_ptr<admin::AdminServer> metrics_server_;
  std::unique_ptr<admin::AdminServer> admin_;
  std::unique_ptr<extproc::HealthServer> health_;
  std::unique_ptr<Reports> reports_;
  std::unique_ptr<extproc::ExtProc> front_;
};

}  // namespace fairlead::app
