// SPDX-License-Identifier: Apache-2.0
// Call: one request on its way through a front of the router, which begins it, and of which nothing
// is left once it is over. What a front does with sockets happens over the simulated wire; what it
// asks the production code, it asks in the order that the front does.
// Threads: thread-compatible.
#pragma once

#include <memory>
#include <utility>

#include "lab/sim/router_node.h"

namespace fairlead::sim {

class Call {
 public:
  // `conversation`: the request goes on from an answer of that number, and its own answer has it
  // too; 0: it stands alone.
  Call(RouterNode& node, ClientId client, const Prompt& prompt, std::uint64_t conversation)
      : node_(node), client_(client), prompt_(prompt), conversation_(conversation) {}
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  virtual void begin() = 0;
  // The client goes away by itself.
  virtual void leave() = 0;
  // The router's process ends in order, and waits no longer.
  virtual void cut_off() = 0;
  // The router's process ends; nothing may be asked of it any more.
  virtual void lose() = 0;
  virtual bool over() const = 0;

 protected:
  // A task that does nothing once the call is gone.
  Task guarded(Task task) const {
    return [alive = std::weak_ptr<const bool>(alive_), task = std::move(task)] {
      if (!alive.expired()) task();
    };
  }
  Ledger& ledger() { return node_.world().ledger; }
  const CallLimits& limits() const { return node_.config().calls; }

  RouterNode& node_;
  const ClientId client_;
  const Prompt& prompt_;
  const std::uint64_t conversation_;

 private:
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace fairlead::sim
