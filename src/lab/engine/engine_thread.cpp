// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/engine_thread.h"

#include <future>
#include <utility>

#include "base/assert.h"

namespace fairlead::engine {

Result<std::unique_ptr<EngineThread>> EngineThread::start(FleetOptions options) {
  auto loop = net::EventLoop::create();
  if (!loop) return tl::unexpected(loop.error());
  auto fleet = EngineFleet::create(**loop, std::move(options));
  if (!fleet) return tl::unexpected(fleet.error());
  return std::unique_ptr<EngineThread>(new EngineThread(std::move(*loop), std::move(*fleet)));
}

EngineThread::EngineThread(std::unique_ptr<net::EventLoop> loop, std::unique_ptr<EngineFleet> fleet)
    : loop_(std::move(loop)),
      fleet_(std::move(fleet)),
      ports_(fleet_->ports()),
      event_sockets_(fleet_->event_sockets()),
      thread_([this] { loop_->run(); }) {}

EngineThread::~EngineThread() {
  loop_->stop();
  thread_.join();
}

void EngineThread::run(const std::function<void(EngineFleet&)>& work) {
  std::promise<void> done;
  const auto posted = loop_->post([&] {
    work(*fleet_);
    done.set_value();
  });
  FAIRLEAD_ASSERT(posted == net::Posted::kQueued);
  done.get_future().wait();
}

}  // namespace fairlead::engine
