// SPDX-License-Identifier: Apache-2.0
// EngineThread: an EngineFleet on a thread and loop of its own, as if it were other machines.
// Threads: owned by one; run() does work in the engines' thread and waits for it.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/result.h"
#include "io/net/event_loop.h"
#include "lab/engine/engine_fleet.h"

namespace fairlead::engine {

class EngineThread {
 public:
  static Result<std::unique_ptr<EngineThread>> start(FleetOptions options);
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  const std::vector<std::uint16_t>& ports() const { return ports_; }
  const std::vector<EventSockets>& event_sockets() const { return event_sockets_; }
  void run(const std::function<void(EngineFleet&)>& work);

 private:
  EngineThread(std::unique_ptr<net::EventLoop> loop, std::unique_ptr<EngineFleet> fleet);

  std::unique_ptr<net::EventLoop> loop_;
  std::unique_ptr<EngineFleet> fleet_;
  std::vector<std::uint16_t> ports_;
  std::vector<EventSockets> event_sockets_;
  std::thread thread_;
};

}  // namespace fairlead::engine
