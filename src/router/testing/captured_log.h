// SPDX-License-Identifier: Apache-2.0
// CapturedLog: for tests: what was logged, to be looked for. Errors: none. Threads: any.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include "base/log.h"

namespace fairlead::router::testing {

class CapturedLog final : public LogSink {
 public:
  void write(LogLevel, std::string_view message) override {
    const std::lock_guard lock(mutex_);
    text_ += message;
    text_ += '\n';
  }
  bool has(std::string_view part) const { return count(part) > 0; }
  int count(std::string_view part) const {
    const std::lock_guard lock(mutex_);
    int found = 0;
    for (auto at = text_.find(part); at != std::string::npos; at = text_.find(part, at + 1)) {
      ++found;
    }
    return found;
  }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

}  // namespace fairlead::router::testing
