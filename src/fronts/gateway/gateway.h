// SPDX-License-Identifier: Apache-2.0
// Gateway: N workers, each a thread with an event loop of its own, all listening on the same
// addresses; the kernel spreads connections over them (SO_REUSEPORT).
//
//   Gateway gateway(router, &access_log);
//   if (auto started = gateway.start(settings.gateway.listen, settings.gateway.workers); ...)
//   gateway.drain([&] { wake_main(); });   // On SIGTERM.
//   gateway.stop();
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
#include "fronts/gateway/profile_board.h"
#include "router/access_log.h"
#include "router/router.h"

namespace fairlead::gateway {

class Gateway {
 public:
  // `access_log` and `profiles`, which has a row for each worker, may be null. All outlive the
  // gateway.
  Gateway(router::Router& router, router::AccessLog* access_log, ProfileBoard* profiles = nullptr);
  ~Gateway();  // stop()
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // All or nothing: when one address cannot be listened on, nothing runs. Once.
  [[nodiscard]] Result<void> start(std::span<const config::HostPort> listen, std::uint32_t workers);
  // The ports in use, one an address in start()'s order.
  const std::vector<std::uint16_t>& ports() const { return ports_; }

  // Refuses new connections and lets running requests end, for at most the drain timeout.
  // `on_drained` runs once, in a worker's thread, when all workers are done. Once.
  void drain(std::function<void()> on_drained);
  // Ends everything now; after a drain() nothing is lost by it. Harmless when not started.
  void stop();

 private:
  struct Worker;

  Result<void> open_worker(std::uint32_t number, std::span<const config::HostPort> listen);
  void worker_drained();

  router::Router& router_;
  router::AccessLog* access_log_;
  ProfileBoard* profiles_;
  std::vector<std::uint16_t> ports_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<std::size_t> draining_{0};
  std::function<void()> on_drained_;
};

}  // namespace fairlead::gateway
