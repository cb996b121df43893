// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/extproc.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/assert.h"
#include "fronts/extproc/extproc_worker.h"
#include "io/net/event_loop.h"
#include "io/net/tcp_listener.h"

namespace fairlead::extproc {

struct ExtProc::Worker {
  std::unique_ptr<net::EventLoop> loop;
  std::unique_ptr<ExtProcWorker> front;  // Dies before the loop.
  std::thread thread;
  std::atomic<std::size_t> on_the_way{0};  // Dealt to it, and not yet among its connections.

  std::size_t connections() const {
    return front->connections() + on_the_way.load(std::memory_order_relaxed);
  }
};

ExtProc::ExtProc(router::Router& router, ExtProcPorts ports)
    : router_(router), worker_ports_(std::move(ports)) {
  shared_.access_log = worker_ports_.access_log;
}

ExtProc::~ExtProc() { stop(); }

Result<void> ExtProc::open_worker(std::uint32_t number) {
  auto loop = net::EventLoop::create();
  if (!loop) return tl::unexpected<Error>(std::move(loop.error()));
  auto worker = std::make_unique<Worker>();
  worker->loop = std::move(*loop);
  WorkerPlace place{number, worker_ports_.tls, {}, worker_ports_.health};
  if (number == 0) {
    place.accept_failures = [this] {
      std::uint64_t failures = 0;
      for (const auto& listener : listeners_) failures += listener->failures();
      return failures;
    };
  }
  worker->front = std::make_unique<ExtProcWorker>(*worker->loop, router_, shared_, place);
  workers_.push_back(std::move(worker));
  return {};
}

Result<void> ExtProc::open_listener(const config::HostPort& wanted) {
  const auto address = net::SocketAddress::parse(wanted.host, wanted.port);
  if (!address) return with_context(address.error(), "epp.listen");
  auto listener = std::make_unique<net::TcpListener>(
      *workers_.front()->loop,
      [this](net::UniqueFd fd, const net::SocketAddress& peer) { deal(std::move(fd), peer); });
  if (auto listening = listener->listen(*address, net::PortSharing::kExclusive); !listening) {
    return with_context(listening.error(), "epp.listen");
  }
  ports_.push_back(listener->local_address().port());
  listeners_.push_back(std::move(listener));
  return {};
}

// In the first worker's thread.
void ExtProc::deal(net::UniqueFd fd, const net::SocketAddress& peer) {
  const auto& worker =
      *std::ranges::min_element(workers_, {}, [](const auto& one) { return one->connections(); });
  if (worker == workers_.front()) return worker->front->adopt_connection(std::move(fd), peer);
  // A std::function must be copyable. A loop that takes no more work closes the connection.
  auto carried = std::make_shared<net::UniqueFd>(std::move(fd));
  worker->on_the_way.fetch_add(1, std::memory_order_relaxed);
  const net::Posted posted = worker->loop->post([to = worker.get(), carried, peer] {
    to->on_the_way.fetch_sub(1, std::memory_order_relaxed);
    to->front->adopt_connection(std::move(*carried), peer);
  });
  if (posted == net::Posted::kFull) worker->on_the_way.fetch_sub(1, std::memory_order_relaxed);
}

Result<void> ExtProc::start(std::span<const config::HostPort> listen, std::uint32_t workers) {
  FAIRLEAD_ASSERT(workers_.empty() && workers > 0);
  const auto open_all = [&]() -> Result<void> {
    for (std::uint32_t number = 0; number < workers; ++number) {
      if (auto opened = open_worker(number); !opened) return opened;
    }
    for (const config::HostPort& address : listen) {
      if (auto opened = open_listener(address); !opened) return opened;
    }
    return {};
  };
  if (auto opened = open_all(); !opened) {
    listeners_.clear();
    workers_.clear();
    ports_.clear();
    return opened;
  }
  for (const auto& worker : workers_) {
    worker->thread = std::thread([loop = worker->loop.get()] { loop->run(); });
  }
  return {};
}

std::size_t ExtProc::connections() const {
  std::size_t sum = 0;
  for (const auto& worker : workers_) sum += worker->connections();
  return sum;
}

void ExtProc::drain(std::function<void()> on_drained) {
  on_drained_ = std::move(on_drained);
  draining_ = workers_.size();
  for (const auto& worker : workers_) {
    const bool first = worker == workers_.front();
    ExtProcWorker* const front = worker->front.get();
    const net::Posted posted = worker->loop->post([this, front, first] {
      if (first) {
        for (const auto& listener : listeners_) listener->close();
      }
      front->drain([this] { worker_drained(); });
    });
    // A loop so far behind is not waited for.
    if (posted == net::Posted::kFull) worker_drained();
  }
}

void ExtProc::worker_drained() {
  if (--draining_ == 0) std::exchange(on_drained_, nullptr)();
}

void ExtProc::stop() {
  for (const auto& worker : workers_) worker->loop->stop();
  for (const auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
  listeners_.clear();
  workers_.clear();
}

}  // namespace fairlead::extproc
