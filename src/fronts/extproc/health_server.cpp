// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/health_server.h"

#include <utility>

namespace fairlead::extproc {
namespace {

constexpr Duration kLookInterval = std::chrono::milliseconds(100);
// Probes come with connections of their own, which must not use up those of others.
constexpr Duration kIdleTimeout = std::chrono::minutes(2);
constexpr std::string_view kLiveness = "liveness";

}  // namespace

HealthServer::HealthServer(router::Control& control, MetricRegistry& metrics)
    : control_(control),
      services_{"", "envoy.service.ext_proc.v3.ExternalProcessor", std::string(kLiveness),
                "readiness"},
      began_(control.now()),
      health_(*this),
      metrics_(metrics),
      timer_(control.loop(), [this] { look(); }) {
  timer_.arm(Duration::zero());
}

HealthServer::~HealthServer() = default;

Result<void> HealthServer::listen(std::span<const config::HostPort> addresses) {
  for (const config::HostPort& wanted : addresses) {
    const auto address = net::SocketAddress::parse(wanted.host, wanted.port);
    if (!address) return with_context(address.error(), "epp.healthListen");
    net::GrpcHandler& handler = *this;
    auto server = std::make_unique<net::GrpcServer>(
        control_.loop(), handler,
        net::GrpcServerOptions{.connections_max = 1000, .idle_timeout = kIdleTimeout});
    if (auto listening = server->listen(*address, net::PortSharing::kExclusive); !listening) {
      return with_context(listening.error(), "epp.healthListen");
    }
    servers_.push_back(std::move(server));
  }
  return {};
}

codec::HealthStatus HealthServer::status_of(std::string_view service) const {
  const bool serving =
      known_.load(std::memory_order_relaxed) && !ending_.load(std::memory_order_relaxed);
  return serving || service == kLiveness ? codec::HealthStatus::kServing
                                         : codec::HealthStatus::kNotServing;
}

net::GrpcCallObserver* HealthServer::on_call(net::GrpcCall& call) {
  return net::GrpcHealth::serves(call.path()) ? health_.on_call(call) : nullptr;
}

void HealthServer::look() {
  timer_.arm(kLookInterval);
  metrics_.set(health_);
  if (control_.ready() || control_.now() - began_ > kPoolGrace) {
    known_.store(true, std::memory_order_relaxed);
  }
  const bool now = status_of({}) == codec::HealthStatus::kServing;
  if (std::exchange(told_, now) != now) health_.on_change();
}

}  // namespace fairlead::extproc
