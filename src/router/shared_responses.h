// SPDX-License-Identifier: Apache-2.0
// SharedResponses: one ResponseHolders for all workers of a router, behind a lock that only
// requests of the Responses API take, for less than a microsecond. Thread-safe.
#pragma once

#include <mutex>
#include <optional>

#include "core/fleet/response_holders.h"

namespace fairlead::router {

class SharedResponses {
 public:
  void note(std::uint64_t id, model::EndpointRef endpoint, Time now) {
    const std::lock_guard lock(mutex_);
    holders_.note(id, endpoint, now);
  }
  std::optional<model::EndpointRef> find(std::uint64_t id, Time now) {
    const std::lock_guard lock(mutex_);
    return holders_.find(id, now);
  }
  fleet::ResponseHolders::Figures figures() const {
    const std::lock_guard lock(mutex_);
    return holders_.figures();
  }

 private:
  mutable std::mutex mutex_;
  fleet::ResponseHolders holders_;
};

}  // namespace fairlead::router
