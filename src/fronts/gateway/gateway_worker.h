// SPDX-License-Identifier: Apache-2.0
// GatewayWorker: the gateway on one event loop: listeners towards clients, connections towards
// engines, and a picker. Workers share nothing but what the router publishes.
//
//   GatewayWorker worker(loop, router, access_log, {.number = 0});
//   auto listening = worker.listen(address, net::PortSharing::kReusePort);
//
// A request keeps the generation it began with; what a new one changes for the whole worker is
// taken over before the next request, or soon after. Threads: the loop's thread, but for
// construction and destruction while the loop does not run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "fronts/gateway/profile_board.h"
#include "fronts/gateway/relay_host.h"
#include "io/net/http1_server.h"

namespace fairlead::gateway {

struct WorkerPlace {
  std::uint32_t number = 0;          // From 0; seeds its chances.
  WorkerProfile* profile = nullptr;  // Null: nobody asks for it.
};

class GatewayWorker final : private net::RequestHandler {
 public:
  // `access_log` may be null.
  GatewayWorker(net::EventLoop& loop, router::Router& router, router::AccessLog* access_log,
                WorkerPlace place);
  ~GatewayWorker();
  GatewayWorker(const GatewayWorker&) = delete;
  GatewayWorker& operator=(const GatewayWorker&) = delete;

  // Any number of times. Returns the address in use.
  [[nodiscard]] Result<net::SocketAddress> listen(const net::SocketAddress& address,
                                                  net::PortSharing sharing);

  // Stops accepting, lets running requests end with `Connection: close`, cuts them off after the
  // drain timeout of the current generation. `on_drained` runs once, maybe within this call.
  void drain(std::function<void()> on_drained);

  std::size_t requests_running() const { return host_.live(); }
  const picker::Picker& picker() { return host_.picker(); }
  // Brings the socket metrics up to date, which happens every kSocketMetricsInterval by itself.
  void report_sockets();

 private:
  net::BodyWish wish_for_body(const codec::Http1RequestHead& head, std::uint64_t& note) override;
  void on_request(net::ServerExchange& exchange) override;
  void on_refusal(const net::Http1Refusal& refusal, net::RefusalReply& reply) override;
  void follow_generation();
  void follow_overload();
  void beat();
  void on_server_drained();
  void on_drain_timer();
  void end_drain();

  net::EventLoop& loop_;
  router::Router& router_;
  Log& log_;
  RelayHost host_;
  WorkerPlace place_;
  std::shared_ptr<const router::Generation> generation_;  // That is in force here.
  net::Http1ServerOptions options_;
  bool cut_off_ = false;
  std::size_t servers_draining_ = 0;
  std::function<void()> on_drained_;
  net::Timer drain_timer_;
  net::Timer socket_metrics_timer_;
  net::Timer beat_timer_;
  std::vector<std::unique_ptr<net::Http1Server>> servers_;  // Die first: they call the others.
};

inline constexpr Duration kSocketMetricsInterval = std::chrono::milliseconds(500);

}  // namespace fairlead::gateway
