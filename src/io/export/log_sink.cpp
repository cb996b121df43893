// SPDX-License-Identifier: Apache-2.0
#include "io/export/log_sink.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace fairlead::exporting {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

struct StderrLogSink::State {
  spdlog::logger logger{"fairlead", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
};

StderrLogSink::StderrLogSink() : state_(std::make_unique<State>()) {
  // The facade has filtered by level already.
  state_->logger.set_level(spdlog::level::trace);
  state_->logger.set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
}

StderrLogSink::~StderrLogSink() = default;

void StderrLogSink::write(LogLevel level, std::string_view message) {
  state_->logger.log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace fairlead::exporting
