// SPDX-License-Identifier: Apache-2.0
// Fault: one thing that goes wrong in a simulated world, and the plan of all of them. Drawn from
// the world's seed alone, so that the plan can be printed without running the world.
// Threads: values and pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/time.h"

namespace fairlead::sim {

enum class FaultKind : std::uint8_t {
  kCrash,            // The engine's process is gone, with its cache; back after the time.
  kStall,            // The engine stands still: it accepts, and neither answers nor counts.
  kPartition,        // Between any router and the engine nothing gets through.
  kCutWire,          // Between one router, its proxy, or both, and the engine; others reach it.
  kSlowMetrics,      // Its figures come late.
  kLyingMetrics,     // Its figures are made up.
  kFailing,          // It answers some requests with 503 or 500.
  kBreaking,         // It breaks off some answers.
  kClearedCache,     // Its prefix cache is emptied, which it tells.
  kLostEvents,       // Some of its KV events get lost.
  kReorderedEvents,  // Some come late or twice.
  kRouterRestart,    // A router's process ends, in order or killed; another starts after the time.
  kClockJump,        // A router's process stands still: its clock jumps.
  kReload,           // A router gets another configuration.
  kPoolChange,       // The engine leaves the pool, and another one takes its place.
};
inline constexpr std::size_t kFaultKinds = 15;
std::string_view to_string(FaultKind kind);

// Of one router: in front of the gateway there is no proxy.
enum class CutWires : std::uint8_t { kBoth, kRouters, kProxys };

struct Fault {
  Time at{};
  Duration lasts{};  // Zero: it is over at once.
  FaultKind kind = FaultKind::kCrash;
  std::uint32_t whose = 0;   // An engine's place in the pool, or a router.
  std::uint32_t router = 0;  // Whose wire is cut.
  CutWires cut = CutWires::kBoth;
};

// In the order of time: at least kFaultsMin, all over by kFaultsOver.
inline constexpr std::size_t kFaultsMin = 4;
inline constexpr Time kFaultsBegin{std::chrono::seconds(2)};
inline constexpr Time kFaultsOver{std::chrono::seconds(42)};
std::vector<Fault> draw_faults(Random& random, std::uint32_t engines, std::uint32_t routers);

// One line, "  4.210 s  crash of engine 2 for 1.300 s".
std::string describe(const Fault& fault);

}  // namespace fairlead::sim
