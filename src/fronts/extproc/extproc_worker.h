// SPDX-License-Identifier: Apache-2.0
// ExtProcWorker: the ext_proc service on one event loop: gRPC connections of Envoy, and a picker.
// Workers share nothing but what the router publishes.
//
// A stream keeps the generation it began with; what a new one changes for the whole worker is taken
// over before the next stream, or soon after. Threads: the loop's thread, but for connections(),
// and for construction and destruction while the loop does not run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "fronts/extproc/call_host.h"
#include "io/net/grpc_health.h"
#include "io/net/grpc_health_metrics.h"
#include "io/net/grpc_server.h"
#include "io/net/timer.h"
#include "io/net/tls_context.h"
#include "router/router.h"

namespace fairlead::extproc {

inline constexpr std::string_view kProcessPath =
    "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

struct WorkerPlace {
  std::uint32_t number = 0;                            // From 0; seeds its chances.
  std::shared_ptr<const net::TlsServerContext> tls{};  // Null: plain TCP.
  // Of the listeners, told by the worker whose loop they are on; null: another's.
  std::function<std::uint64_t()> accept_failures{};
  const net::GrpcHealthStatuses* health = nullptr;  // Null: asked for on another port.
};

class ExtProcWorker final : private net::GrpcHandler {
 public:
  ExtProcWorker(net::EventLoop& loop, router::Router& router, FrontShared& shared,
                const WorkerPlace& place);
  ~ExtProcWorker();
  ExtProcWorker(const ExtProcWorker&) = delete;
  ExtProcWorker& operator=(const ExtProcWorker&) = delete;

  // Takes over a connection that somebody else accepted.
  void adopt_connection(net::UniqueFd fd, const net::SocketAddress& peer) {
    server_.adopt_connection(std::move(fd), peer);
  }
  std::size_t connections() const { return server_.connections(); }

  // Lets running streams end, cuts them off after the drain timeout of the current generation.
  // `on_drained` runs once, maybe within this call.
  void drain(std::function<void()> on_drained);

  std::size_t streams_running() const { return host_.live(); }
  const picker::Picker& picker() { return host_.picker(); }
  // Brings the socket metrics up to date, which happens every kFiguresInterval by itself.
  void report();

 private:
  net::GrpcCallObserver* on_call(net::GrpcCall& call) override;
  void follow_generation();
  void beat();
  void on_drain_timer();
  void end_drain();

  net::EventLoop& loop_;
  router::Router& router_;
  CallHost host_;
  WorkerPlace place_;
  std::shared_ptr<const router::Generation> generation_;  // That is in force here.
  std::unique_ptr<net::GrpcHealth> health_;
  std::unique_ptr<net::GrpcHealthMetrics> health_metrics_;
  bool cut_off_ = false;
  std::function<void()> on_drained_;
  net::Timer drain_timer_;
  net::Timer figures_timer_;
  net::Timer beat_timer_;
  net::GrpcServer server_;  // Dies first: it calls the others.
};

inline constexpr Duration kFiguresInterval = std::chrono::milliseconds(500);

}  // namespace fairlead::extproc
