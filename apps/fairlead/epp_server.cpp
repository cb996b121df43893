// SPDX-License-Identifier: Apache-2.0
#include "epp_server.h"

#include <array>
#include <utility>

namespace fairlead::app {

EppServer::~EppServer() {
  if (front_) front_->stop();
  if (control_) control_->stop();
  if (reports_) reports_->flush();
}

// Who gave no certificate gets one that is made now, so that the connection is encrypted at least.
Result<std::shared_ptr<const net::TlsServerContext>> EppServer::open_tls(
    const config::EppSettings& settings) {
  if (!settings.tls.is_on) return nullptr;
  if (router_->tls().clients) return router_->tls().clients;
  const std::array<std::string, 2> names = {"localhost", settings.pool.name};
  auto identity = net::make_self_signed(names);
  if (!identity) return with_context(identity.error(), "--secure-serving");
  auto context = net::TlsServerContext::create(
      *identity, net::Http2Offer::kOnly,
      {settings.tls.min_minor, settings.tls.cipher_list, settings.tls.client_ca});
  if (!context) return with_context(context.error(), "--secure-serving");
  return std::shared_ptr<const net::TlsServerContext>(std::move(*context));
}

// A second picker on a host must not fail for a page that nobody asked for.
Result<void> EppServer::open_admin(const config::HostPort& address) {
  constexpr const char* kSetting = "epp.adminListen";
  auto listening = admin_->listen(address, kSetting);
  if (listening || address != config::EppSettings{}.admin_listen) return listening;
  log_.warning("{}; the page takes another port", listening.error().message);
  return admin_->listen({address.host, 0}, kSetting);
}

Result<void> EppServer::open_pages(const config::EppSettings& settings) {
  for (const char* name : {"llm_d_epp_info", "inference_extension_info"}) {
    metrics_
        .gauge(name, "The version that runs.", {{"commit", FAIRLEAD_VERSION}, {"build_ref", ""}})
        .set(1);
  }
  pool_metrics_ = std::make_unique<extproc::PoolMetrics>(*router_, settings.pool.name);
  control_->on_refresh([this] {
    const auto generation = router_->generation().load();
    pool_metrics_->refresh(control_->now(), generation->epp.metrics_staleness,
                           control_->read_faults());
  });
  metrics_server_ =
      std::make_unique<admin::AdminServer>(*router_, *control_, admin::Pages::kMetrics);
  for (const config::HostPort& address : settings.metrics_listen) {
    if (auto listening = metrics_server_->listen(address, "epp.metricsListen"); !listening)
      return listening;
  }
  admin_ = std::make_unique<admin::AdminServer>(*router_, *control_);
  if (auto listening = open_admin(settings.admin_listen); !listening) return listening;
  health_ = std::make_unique<extproc::HealthServer>(*control_, metrics_);
  return health_->listen(settings.health_listen);
}

Result<std::unique_ptr<EppServer>> EppServer::start(
    const std::shared_ptr<const router::Generation>& first, std::uint64_t process_seed, Log& log,
    Configuration configuration) {
  const config::EppSettings& settings = first->epp;
  std::unique_ptr<EppServer> server(new EppServer(log));
  server->router_ = std::make_unique<router::Router>(first, process_seed, log, server->metrics_);
  auto control = router::Control::create(*server->router_);
  if (!control) return tl::unexpected(control.error());
  server->control_ = std::move(*control);
  auto followed = server->control_->follow(configuration.file, std::move(configuration.build));
  if (!followed) return tl::unexpected(followed.error());
  if (auto opened = server->open_pages(settings); !opened) return tl::unexpected(opened.error());
  auto reports = Reports::open(*server->router_, *server->control_, "epp.accessLog");
  if (!reports) return tl::unexpected(reports.error());
  server->reports_ = std::move(*reports);
  auto tls = server->open_tls(settings);
  if (!tls) return tl::unexpected(tls.error());
  server->front_ = std::make_unique<extproc::ExtProc>(
      *server->router_,
      extproc::ExtProcPorts{std::move(*tls),
                            settings.health_on_listen ? server->health_.get() : nullptr,
                            server->reports_->access_log()});
  server->control_->start();
  if (auto started = server->front_->start(settings.listen, settings.workers); !started) {
    return tl::unexpected(started.error());
  }
  return server;
}

void EppServer::announce_end() {
  health_->announce_end();
  metrics_server_->set_draining();
  admin_->set_draining();
}

void EppServer::drain(std::function<void()> on_drained) {
  announce_end();
  front_->drain(std::move(on_drained));
}

}  // namespace fairlead::app
