// SPDX-License-Identifier: Apache-2.0
// AccessLog: where a front's workers put each finished request, as one line of JSON. The sink is
// io/export's in production and a list in tests.
// Threads: write() is called by all workers; an implementation is thread-safe and never blocks.
#pragma once

#include <string>
#include <string_view>

#include "core/exchange/access_record.h"

namespace fairlead::router {

class AccessLog {
 public:
  virtual ~AccessLog() = default;
  // `scratch` is the caller's own memory for the line.
  void write(const exchange::AccessRecord& record, std::string& scratch);

 private:
  // One JSON object without a line end; valid during the call.
  virtual void write_line(std::string_view line) = 0;
};

}  // namespace fairlead::router
