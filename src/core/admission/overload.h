// SPDX-License-Identifier: Apache-2.0
// What an overloaded process does: readings of its resources in, named actions out. A resource's
// pressure is the used share of its limit; an action begins when the pressure of a resource that it
// helps reaches the action's threshold (limits.overload), and ends when all of them have fallen
// below it by the hysteresis, so that it does not flicker.
//
//   actions = next_actions(actions, pressures_of(readings), settings);
//
// Units: each resource's own; a pressure is 1 at the limit and may exceed it. Never fails.
// Threads: pure functions over values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/config/settings.h"

namespace fairlead::admission {

enum class Resource : std::uint8_t {
  kConnections,    // Of clients.
  kDescriptors,    // Of the process.
  kBufferedBytes,  // Of requests received.
  kMemory,         // Resident bytes of the process.
  kLoopLag,        // Nanoseconds that the slowest worker is late.
};
inline constexpr std::size_t kResourceCount = 5;
std::string_view to_string(Resource resource);  // snake_case, a metric label.

enum class OverloadAction : std::uint8_t {
  kStopKeepalive,      // Answers end their client's connection.
  kTightenBuffers,     // Engines are read no faster than clients read.
  kDropIdle,           // Idle client connections are closed, oldest first.
  kShedRequests,       // 503 with Retry-After.
  kRefuseConnections,  // New ones wait outside.
};
inline constexpr std::size_t kOverloadActionCount = 5;
std::string_view to_string(OverloadAction action);  // snake_case, a metric label.

// A set of actions in one word, so that workers can read it as one atomic.
class OverloadActions {
 public:
  constexpr OverloadActions() = default;
  constexpr explicit OverloadActions(std::uint32_t word) : word_(word) {}
  constexpr bool has(OverloadAction action) const { return (word_ & bit(action)) != 0; }
  constexpr OverloadActions with(OverloadAction action) const {
    return OverloadActions(word_ | bit(action));
  }
  constexpr std::uint32_t word() const { return word_; }
  friend constexpr bool operator==(OverloadActions, OverloadActions) = default;

 private:
  static constexpr std::uint32_t bit(OverloadAction action) {
    return std::uint32_t{1} << static_cast<unsigned>(action);
  }
  std::uint32_t word_ = 0;
};

struct Use {
  std::uint64_t used = 0;
  std::uint64_t limit = 0;  // 0: there is none, and never any pressure.
};
using Readings = std::array<Use, kResourceCount>;      // By Resource.
using Pressures = std::array<double, kResourceCount>;  // By Resource.

Pressures pressures_of(const Readings& readings);

// `now`: the actions in force.
OverloadActions next_actions(OverloadActions now, const Pressures& pressures,
                             const config::OverloadSettings& settings);

// Of the resources that an action helps, the one under the highest pressure: why it is taken.
Resource cause_of(OverloadAction action, const Pressures& pressures);

}  // namespace fairlead::admission
