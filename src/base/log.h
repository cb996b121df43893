// SPDX-License-Identifier: Apache-2.0
// Log: the facade every room logs through. Messages are formatted only when their level is on.
// Sinks live in io/export (spdlog, JSON lines); tests capture. Prompts, keys and bodies are never
// logged. Thread-safe when its sink is.
#pragma once

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <optional>
#include <string_view>
#include <utility>

namespace fairlead {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
// By LogLevel: how levels are written.
inline constexpr std::array<std::string_view, 4> kLogLevelNames = {"debug", "info", "warning",
                                                                   "error"};
constexpr std::string_view to_string(LogLevel level) {
  return kLogLevelNames[static_cast<std::size_t>(level)];
}
constexpr std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (std::size_t i = 0; i < kLogLevelNames.size(); ++i) {
    if (kLogLevelNames[i] == text) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(LogLevel level, std::string_view message) = 0;
};

class Log {
 public:
  explicit Log(LogSink& sink, LogLevel level = LogLevel::kInfo) : sink_(&sink), level_(level) {}

  void set_level(LogLevel level) { level_.store(level, std::memory_order_relaxed); }
  LogLevel level() const { return level_.load(std::memory_order_relaxed); }
  bool enabled(LogLevel level) const { return level >= level_.load(std::memory_order_relaxed); }

  template <class... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::kDebug, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::kInfo, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::kWarning, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    write(LogLevel::kError, format, std::forward<Args>(args)...);
  }

 private:
  template <class... Args>
  void write(LogLevel level, fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(level)) sink_->write(level, fmt::format(format, std::forward<Args>(args)...));
  }

  LogSink* sink_;
  std::atomic<LogLevel> level_;
};

// Drops everything: for tests and embedders that do not want logs.
class NullLogSink final : public LogSink {
 public:
  void write(LogLevel, std::string_view) override {}
};

}  // namespace fairlead
