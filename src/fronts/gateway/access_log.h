// SPDX-License-Identifier: Apache-2.0
// AccessLog: where the gateway's workers put the line of each finished request. The sink is
// io/export's in production and a list in tests.
// Threads: write() is called by all workers; an implementation is thread-safe and never blocks.
#pragma once

#include <string_view>

namespace fairlead::gateway {

class AccessLog {
 public:
  virtual ~AccessLog() = default;
  // One JSON object without a line end; valid during the call.
  virtual void write(std::string_view line) = 0;
};

}  // namespace fairlead::gateway
