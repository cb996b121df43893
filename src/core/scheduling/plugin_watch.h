// SPDX-License-Identifier: Apache-2.0
// PluginWatch: told when each plugin of a decision has done its part, so that a front, which has a
// clock, can measure them. The extension points are llm-d's.
// Threads: the worker's thread. Must not block or allocate in steady state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fairlead::scheduling {

enum class PluginPoint : std::uint8_t { kAdmission, kFilter, kScorer, kPicker, kResponse };
inline constexpr std::size_t kPluginPointCount = 5;

class PluginWatch {
 public:
  virtual ~PluginWatch() = default;
  // A plugin begins.
  virtual void begin() = 0;
  // It has ended, and the next one may begin. `index`: among the profile's plugins of this point.
  virtual void done(PluginPoint point, std::size_t index, const std::string& name) = 0;
};

}  // namespace fairlead::scheduling
