// SPDX-License-Identifier: Apache-2.0
// ExtProc: the ext_proc service: N workers, each a thread with an event loop of its own, behind one
// listener. Envoy holds few connections for long, so each is dealt to the worker that has the
// fewest, which the kernel's spreading (SO_REUSEPORT) would not do.
//
//   ExtProc front(router, {.health = &statuses});
//   if (auto started = front.start(addresses, workers); ...)
//   front.drain([&] { wake_main(); });   // On SIGTERM.
//   front.stop();
//
// Threads: everything from one owner thread; drain()'s callback runs in a worker's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "core/config/endpoints.h"
#include "fronts/extproc/call_host.h"
#include "io/net/grpc_health.h"
#include "io/net/tcp_listener.h"
#include "io/net/tls_context.h"
#include "router/access_log.h"
#include "router/router.h"

namespace fairlead::extproc {

struct ExtProcPorts {
  std::shared_ptr<const net::TlsServerContext> tls{};  // Null: plain TCP.
  const net::GrpcHealthStatuses* health = nullptr;     // Null: not served beside ext_proc.
  router::AccessLog* access_log = nullptr;             // Null: none is kept.
};

class ExtProc {
 public:
  ExtProc(router::Router& router, ExtProcPorts ports);
  ~ExtProc();  // stop()
  ExtProc(const ExtProc&) = delete;
  ExtProc& operator=(const ExtProc&) = delete;

  // All or nothing: when one address cannot be listened on, nothing runs. Once.
  [[nodiscard]] Result<void> start(std::span<const config::HostPort> listen, std::uint32_t workers);
  // The ports in use, one an address in start()'s order.
  const std::vector<std::uint16_t>& ports() const { return ports_; }

  // Of Envoy, open now.
  std::size_t connections() const;

  // Refuses new connections and lets running streams end, for at most the drain timeout.
  // `on_drained` runs once, in a worker's thread, when all workers are done. Once.
  void drain(std::function<void()> on_drained);
  // Ends everything now; after a drain() nothing is lost by it. Harmless when not started.
  void stop();

 private:
  struct Worker;

  Result<void> open_worker(std::uint32_t number);
  Result<void> open_listener(const config::HostPort& wanted);
  void deal(net::UniqueFd fd, const net::SocketAddress& peer);
  void worker_drained();

  router::Router& router_;
  ExtProcPorts worker_ports_;
  FrontShared shared_;
  std::vector<std::uint16_t> ports_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<net::TcpListener>> listeners_;  // On the first worker's loop.
  std::atomic<std::size_t> draining_{0};
  std::function<void()> on_drained_;
};

}  // namespace fairlead::extproc
