// SPDX-License-Identifier: Apache-2.0
#include "io/net/steady_clock.h"

#include <chrono>

namespace fairlead::net {

Time SteadyClock::now() const {
  return Time(
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

double SteadyClock::unix_seconds() const {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace fairlead::net
