// SPDX-License-Identifier: Apache-2.0
// StderrLogSink: where the log facade writes in production: one line a message on standard error
// with time and level. Thread-safe. Library: spdlog, which stays inside log_sink.cpp.
#pragma once

#include <memory>
#include <string_view>

#include "base/log.h"

namespace fairlead::exporting {

class StderrLogSink final : public LogSink {
 public:
  StderrLogSink();
  ~StderrLogSink() override;
  void write(LogLevel level, std::string_view message) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fairlead::exporting
