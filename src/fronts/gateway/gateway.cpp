// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/gateway.h"

#include <thread>
#include <utility>

#include "base/assert.h"
#include "fronts/gateway/gateway_worker.h"
#include "io/net/event_loop.h"

namespace fairlead::gateway {

struct Gateway::Worker {
  std::unique_ptr<net::EventLoop> loop;
  std::unique_ptr<GatewayWorker> front;  // Dies before the loop.
  std::thread thread;
};

namespace {

// Workers share their ports, and the kernel would let another gateway share them too and deal out
// the clients between both. A listener that shares with nobody finds out who is there.
Result<void> check_free(std::span<const config::HostPort> listen) {
  for (const config::HostPort& wanted : listen) {
    if (wanted.port == 0) continue;
    const auto address = net::SocketAddress::parse(wanted.host, wanted.port);
    if (!address) return with_context(address.error(), "gateway");
    const auto probe = net::listen_tcp(*address, net::PortSharing::kExclusive);
    if (!probe) return with_context(probe.error(), "gateway");
  }
  return {};
}

}  // namespace

Gateway::Gateway(router::Router& router, router::AccessLog* access_log, ProfileBoard* profiles)
    : router_(router), access_log_(access_log), profiles_(profiles) {}

Gateway::~Gateway() { stop(); }

Result<void> Gateway::open_worker(std::uint32_t number, std::span<const config::HostPort> listen) {
  auto loop = net::EventLoop::create();
  if (!loop) return tl::unexpected<Error>(std::move(loop.error()));
  auto worker = std::make_unique<Worker>();
  worker->loop = std::move(*loop);
  WorkerProfile* const profile = profiles_ == nullptr ? nullptr : &profiles_->worker(number);
  worker->front = std::make_unique<GatewayWorker>(*worker->loop, router_, access_log_,
                                                  WorkerPlace{number, profile});
  for (std::size_t i = 0; i < listen.size(); ++i) {
    // Port 0 is chosen by the kernel for the first worker, and shared by the others.
    const std::uint16_t port = number == 0 ? listen[i].port : ports_[i];
    const auto address = net::SocketAddress::parse(listen[i].host, port);
    if (!address) return with_context(address.error(), "gateway");
    const auto bound = worker->front->listen(*address, net::PortSharing::kReusePort);
    if (!bound) return with_context(bound.error(), "gateway");
    if (number == 0) ports_.push_back(bound->port());
  }
  workers_.push_back(std::move(worker));
  return {};
}

Result<void> Gateway::start(std::span<const config::HostPort> listen, std::uint32_t workers) {
  FAIRLEAD_ASSERT(workers_.empty() && workers > 0);
  if (auto free = check_free(listen); !free) return free;
  for (std::uint32_t number = 0; number < workers; ++number) {
    if (auto opened = open_worker(number, listen); !opened) {
      workers_.clear();
      ports_.clear();
      return opened;
    }
  }
  for (const auto& worker : workers_) {
    worker->thread = std::thread([loop = worker->loop.get()] { loop->run(); });
  }
  return {};
}

void Gateway::drain(std::function<void()> on_drained) {
  on_drained_ = std::move(on_drained);
  draining_ = workers_.size();
  for (const auto& worker : workers_) {
    GatewayWorker* front = worker->front.get();
    const net::Posted posted =
        worker->loop->post([this, front] { front->drain([this] { worker_drained(); }); });
    // A loop so far behind is not waited for.
    if (posted == net::Posted::kFull) worker_drained();
  }
}

void Gateway::worker_drained() {
  if (--draining_ == 0) std::exchange(on_drained_, nullptr)();
}

void Gateway::stop() {
  for (const auto& worker : workers_) worker->loop->stop();
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
  workers_.clear();
}

}  // namespace fairlead::gateway
