// SPDX-License-Identifier: Apache-2.0
// healthy_pool: for tests and benchmarks: endpoints e0, e1, ... in the slots of their numbers, all
// serving the model "m". Pure function.
#pragma once

#include <cstdint>
#include <string>

#include "core/model/endpoint.h"

namespace fairlead::picker::testing {

inline model::PoolSnapshot healthy_pool(std::uint32_t endpoints) {
  model::PoolSnapshot pool;
  pool.version = 1;
  for (std::uint32_t slot = 0; slot < endpoints; ++slot) {
    model::Endpoint endpoint;
    endpoint.ref = {slot, 0};
    endpoint.name = "e" + std::to_string(slot);
    endpoint.models = {"m"};
    endpoint.health = model::Health::kHealthy;
    pool.endpoints.push_back(endpoint);
  }
  return pool;
}

}  // namespace fairlead::picker::testing
