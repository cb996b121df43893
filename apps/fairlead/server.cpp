// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <utility>

#include "base/random.h"

namespace fairlead::app {
namespace {

// For the collector, after the last request.
constexpr Duration kTraceFlush = std::chrono::seconds(5);
// Keeps the ids of traces apart from those of requests.
constexpr std::uint64_t kExporterStream = 0x6f746c70;

}  // namespace

class Server::AccessLine final : public gateway::AccessLog {
 public:
  explicit AccessLine(exporting::LineWriter& writer) : writer_(&writer) {}
  void write(std::string_view line) override { writer_->write(line); }

 private:
  exporting::LineWriter* writer_;
};

Server::Server(Log& log) : log_(log) {}

Server::~Server() {
  if (gateway_) gateway_->stop();
  if (control_) control_->stop();
  if (traces_) traces_->flush(kTraceFlush);
}

Result<std::unique_ptr<Server>> Server::start(
    const std::shared_ptr<const router::Generation>& first, std::uint64_t process_seed, Log& log,
    Configuration configuration, Profiling profiling) {
  const config::GatewaySettings settings = first->settings.gateway;
  std::unique_ptr<Server> server(new Server(log));
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
  const router::Router& router = *server->router_;
  server->traces_ = std::make_unique<exporting::TraceExporter>(
      server->control_->loop(),
      exporting::TraceExporterPorts{
          server->router_->traces(), server->metrics_, log,
          [&router] { return router.generation().load()->settings.tracing; }, router.tls().engines,
          mix64(process_seed ^ kExporterStream)});
  if (!settings.access_log.empty()) {
    auto writer = exporting::LineWriter::open(
        settings.access_log,
        server->metrics_.counter("fairlead_access_log_dropped_total",
                                 "Access log lines lost to a full queue or disk."));
    if (!writer) return with_context(writer.error(), "gateway.accessLog");
    server->access_writer_ = std::move(*writer);
    server->access_line_ = std::make_unique<AccessLine>(*server->access_writer_);
  }
  if (profiling == Profiling::kOn) {
    server->profiles_ = std::make_unique<gateway::ProfileBoard>(settings.workers);
    server->admin_->show_profile([s = server.get()] { return s->profile(); });
  }
  server->gateway_ = std::make_unique<gateway::Gateway>(
      *server->router_, server->access_line_.get(), server->profiles_.get());
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
  if (access_writer_) {
    if (auto opened = access_writer_->reopen(); !opened) log_.error("{}", opened.error().message);
  }
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
