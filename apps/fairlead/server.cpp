// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <utility>

namespace fairlead::app {

Server::~Server() {
  if (gateway_) gateway_->stop();
  if (control_) control_->stop();
  if (reports_) reports_->flush();
}

Result<std::unique_ptr<Server>> Server::start(
    const std::shared_ptr<const router::Generation>& first, std::uint64_t process_seed, Log& log,
    Configuration configuration, Profiling profiling) {
  const config::GatewaySettings settings = first->settings.gateway;
  std::unique_ptr<Server> server(new Server);
  server->router_ = std::make_unique<router::Router>(first, process_seed, log, server->metrics_);
  auto control = router::Control::create(*server->router_);
  if (!control) return tl::unexpected(control.error());
  server->control_ = std::move(*control);
  auto followed = server->control_->follow(configuration.file, std::move(configuration.build));
  if (!followed) return tl::unexpected(followed.error());
  server->admin_ = std::make_unique<admin::AdminServer>(*server->router_, *server->control_);
  if (auto listening = server->admin_->listen(settings.admin_listen); !listening) {
    return tl::unexpected(listening.error());
  }
  auto reports = Reports::open(*server->router_, *server->control_, "gateway.accessLog");
  if (!reports) return tl::unexpected(reports.error());
  server->reports_ = std::move(*reports);
  if (profiling == Profiling::kOn) {
    server->profiles_ = std::make_unique<gateway::ProfileBoard>(settings.workers);
    server->admin_->show_profile([s = server.get()] { return s->profile(); });
  }
  server->gateway_ = std::make_unique<gateway::Gateway>(
      *server->router_, server->reports_->access_log(), server->profiles_.get());
  server->control_->start();
  if (auto started = server->gateway_->start(settings.listen, settings.workers); !started) {
    return tl::unexpected(started.error());
  }
  server->listen_ = settings.listen;
  for (std::size_t i = 0; i < settings.listen.size(); ++i) {
    server->listen_[i].port = server->gateway_->ports()[i];
  }
  return server;
}

void Server::reload() {
  reports_->reopen();
  control_->reload();
}

std::string Server::profile() const {
  return profiles_ ? profiles_->report(metrics_.expose()) : std::string();
}

std::string Server::listening() const {
  std::string text;
  for (const config::HostPort& address : listen_) {
    text += (text.empty() ? "" : ", ") + config::to_string(address);
  }
  return text;
}

void Server::drain(std::function<void()> on_drained) {
  announce_end();
  gateway_->drain(std::move(on_drained));
}

}  // namespace fairlead::app
