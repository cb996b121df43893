// SPDX-License-Identifier: Apache-2.0
// HealthServer: whether requests should come here, told over grpc.health.v1 to Kubernetes' probes
// and to Envoy's health checks, on a port of its own.
//
// "liveness" is served while the process answers. Everything else, names that nobody knows
// included, as llm-d has it: once the pool is known, until the end is announced. An engine that is
// down later is no reason to stay away, since requests get a clear answer here.
// Threads: control's thread; made before it starts, destroyed after Control::stop(). status_of()
// and announce_end() from any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "core/config/endpoints.h"
#include "io/net/grpc_health.h"
#include "io/net/grpc_health_metrics.h"
#include "io/net/grpc_server.h"
#include "io/net/timer.h"
#include "router/control.h"

namespace fairlead::extproc {

// A pool of which no endpoint has answered by then counts as known.
inline constexpr Duration kPoolGrace = std::chrono::seconds(5);

class HealthServer final : public net::GrpcHealthStatuses, private net::GrpcHandler {
 public:
  HealthServer(router::Control& control, MetricRegistry& metrics);
  ~HealthServer();
  HealthServer(const HealthServer&) = delete;
  HealthServer& operator=(const HealthServer&) = delete;

  [[nodiscard]] Result<void> listen(std::span<const config::HostPort> addresses);
  std::uint16_t port() const { return servers_.front()->local_address().port(); }
  void announce_end() { ending_.store(true, std::memory_order_relaxed); }

  codec::HealthStatus status_of(std::string_view service) const override;
  std::span<const std::string> services() const override { return services_; }

 private:
  net::GrpcCallObserver* on_call(net::GrpcCall& call) override;
  void look();

  router::Control& control_;
  std::array<std::string, 4> services_;
  std::atomic<bool> known_{false};
  std::atomic<bool> ending_{false};
  bool told_ = false;  // What watchers know.
  Time began_;
  net::GrpcHealth health_;
  net::GrpcHealthMetrics metrics_;
  net::Timer timer_;
  std::vector<std::unique_ptr<net::GrpcServer>> servers_;
};

}  // namespace fairlead::extproc
