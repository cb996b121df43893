// SPDX-License-Identifier: Apache-2.0
// How Control replaces one configuration by another while requests run.
#include <utility>

#include "router/control.h"

namespace fairlead::router {
namespace {

Result<void> fixed(std::string_view setting) {
  return fail(ErrorCode::kInvalidArgument, "{} cannot change while running; restart for it",
              setting);
}

// Sockets, threads and the log file are made once.
Result<void> check_reloadable(const config::GatewaySettings& now,
                              const config::GatewaySettings& next) {
  if (next.listen != now.listen) return fixed("gateway.listen");
  if (next.workers != now.workers) return fixed("gateway.workers");
  if (next.admin_listen != now.admin_listen) return fixed("gateway.adminListen");
  if (next.access_log != now.access_log) return fixed("gateway.accessLog");
  if (next.tls != now.tls) return fixed("gateway.tls");
  if (next.http2 != now.http2) return fixed("gateway.http2");
  return {};
}

Result<void> check_reloadable(const config::EppSettings& now, const config::EppSettings& next) {
  if (next.listen != now.listen) return fixed("epp.listen");
  if (next.health_listen != now.health_listen) return fixed("epp.healthListen");
  if (next.metrics_listen != now.metrics_listen) return fixed("epp.metricsListen");
  if (next.admin_listen != now.admin_listen) return fixed("epp.adminListen");
  if (next.workers != now.workers) return fixed("epp.workers");
  if (next.access_log != now.access_log) return fixed("epp.accessLog");
  if (next.tls != now.tls) return fixed("epp.clientCaFile");
  return {};
}

}  // namespace

Result<void> Control::follow(const std::string& file, GenerationSource build) {
  build_ = std::move(build);
  if (file.empty()) return {};
  auto watched = fleet::WatchedFiles::open(*loop_, {file}, [this] { rebuild(); });
  if (!watched) return tl::unexpected(watched.error());
  // A change that came between the build and the watch is noticed with the next one.
  configuration_file_ = std::move(*watched);
  return {};
}

void Control::reload() {
  if (loop_->post([this] { rebuild(); }) == net::Posted::kQueued) return;
  router_.log().error("the control loop is too busy to reload; try again");
}

void Control::rebuild() {
  if (!build_) return;
  auto next = build_();
  Result<void> taken = next ? adopt(*next) : tl::unexpected(std::move(next.error()));
  (taken ? reloads_ : reloads_refused_).add();
  if (!taken) {
    router_.tell(LogLevel::kError, "the new configuration is refused, the old one serves on:\n{}",
                 taken.error().message);
    return;
  }
  configured_at_.set(loop_->unix_seconds());
  router_.tell(LogLevel::kInfo, "configuration reloaded, policy {}", generation_->policy);
}

Result<void> Control::adopt(const std::shared_ptr<const Generation>& next) {
  const config::ServeSettings& before = generation_->settings;
  const config::ServeSettings& settings = next->settings;
  if (auto allowed = check_reloadable(generation_->epp, next->epp); !allowed) return allowed;
  if (auto allowed = check_reloadable(before.gateway, settings.gateway); !allowed) return allowed;
  if (settings.fleet.tls != before.fleet.tls) return fixed("fleet.tls");
  if (settings.tokens != before.tokens) return fixed("tokens");
  if (settings.restart != before.restart) return fixed("restart");
  if (settings.replicas != before.replicas) return fixed("replicas");
  if (next->picker.events != generation_->picker.events) {
    return fixed("precise-prefix-cache-producer");
  }
  auto access = access_->read(settings);
  if (!access) return tl::unexpected(access.error());
  auto file = open_endpoints_file(settings.fleet);
  if (!file) return tl::unexpected(file.error());
  if (auto set = set_members(settings.fleet, file->get()); !set) {
    if (set.error().code != ErrorCode::kLimitExceeded) return set;
    router_.tell(LogLevel::kError, "{}", set.error().message);
  }
  endpoints_file_ = std::move(*file);
  if (settings.prefix.block_bytes != before.prefix.block_bytes) {
    router_.history().restart(
        settings.prefix.block_bytes,
        settings.prefix.bytes_per_endpoint.value_or(settings.prefix.bytes_unreported));
  }
  fleet_.reconfigure(settings.fleet, settings.prefix, loop_->now());
  worker_.reconfigure(settings.fleet);
  access_->adopt(std::move(*access));
  // What the admin port said lasts until the file says another thing than before.
  if (settings.log != before.log) router_.log().set_level(settings.log.level);
  generation_ = next;
  generations_.insert(generations_.begin(), next);
  if (generations_.size() > kGenerationsKept) generations_.pop_back();
  router_.generation().publish(next);
  tick();
  return {};
}

}  // namespace fairlead::router
