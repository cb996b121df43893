// SPDX-License-Identifier: Apache-2.0
#include "lab/sim/fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace fairlead::sim {
namespace {

constexpr std::size_t kMoreFaults = 6;
// Of these against any other: a slot's next owner is rarely met, and so is what a restart got
// wrong.
constexpr std::uint64_t kPoolWeight = 3;
constexpr std::uint64_t kRestartWeight = 3;
constexpr double kBeginsWithin = 26;  // Seconds.
// Most faults are short, because long ones leave nothing to route; the long ones are what ejection
// is for.
constexpr double kLongestSeconds = 9;
// The slot of who left rests for ten seconds, so that a shorter absence never shows a reuse.
constexpr double kAwaySeconds = 10.5;
// Between two processes of a router, at most, and how often there is nothing in between.
constexpr double kDownSeconds = 6;
constexpr double kNotDownShare = 0.2;
// How often the next fault is one that the router does not see, for it is away: that an engine
// crashes, or leaves the pool.
constexpr double kUnseenShare = 0.7;

FaultKind draw_kind(Random& random) {
  const std::uint64_t drawn = random.below(kFaultKinds + kPoolWeight + kRestartWeight - 2);
  if (drawn < kFaultKinds) return static_cast<FaultKind>(drawn);
  return drawn < kFaultKinds + kPoolWeight - 1 ? FaultKind::kPoolChange : FaultKind::kRouterRestart;
}

Duration draw_length(Random& random, FaultKind kind) {
  const double chance = random.uniform();
  switch (kind) {
    case FaultKind::kClearedCache:
    case FaultKind::kReload:
      return {};
    case FaultKind::kRouterRestart:
      return from_seconds(kDownSeconds * std::max(chance - kNotDownShare, 0.0) * chance);
    case FaultKind::kClockJump:
      return from_seconds(0.05 + 3 * chance * chance);
    case FaultKind::kPoolChange:
      return from_seconds(chance < 0.3 ? 1 + 6 * chance : kAwaySeconds + 3 * chance);
    default:
      return from_seconds(0.1 + (kLongestSeconds - 0.1) * chance * chance);
  }
}

std::string_view to_string(CutWires cut) {
  switch (cut) {
    case CutWires::kBoth:
      return "";
    case CutWires::kRouters:
      return " alone";
    case CutWires::kProxys:
      return "'s proxy";
  }
  return "";
}

bool is_of_engine(FaultKind kind) {
  return kind != FaultKind::kRouterRestart && kind != FaultKind::kClockJump &&
         kind != FaultKind::kReload;
}

}  // namespace

std::string_view to_string(FaultKind kind) {
  switch (kind) {
    case FaultKind::kCrash:
      return "crash";
    case FaultKind::kStall:
      return "stall";
    case FaultKind::kPartition:
      return "partition";
    case FaultKind::kCutWire:
      return "cut wire";
    case FaultKind::kSlowMetrics:
      return "slow metrics";
    case FaultKind::kLyingMetrics:
      return "lying metrics";
    case FaultKind::kFailing:
      return "failing requests";
    case FaultKind::kBreaking:
      return "broken answers";
    case FaultKind::kClearedCache:
      return "cleared cache";
    case FaultKind::kLostEvents:
      return "lost events";
    case FaultKind::kReorderedEvents:
      return "reordered events";
    case FaultKind::kRouterRestart:
      return "restart";
    case FaultKind::kClockJump:
      return "clock jump";
    case FaultKind::kReload:
      return "reload";
    case FaultKind::kPoolChange:
      return "pool change";
  }
  return "unknown";
}

std::vector<Fault> draw_faults(Random& random, std::uint32_t engines, std::uint32_t routers) {
  std::vector<Fault> faults(kFaultsMin + random.below(kMoreFaults + 1));
  Fault before;
  for (Fault& fault : faults) {
    fault.kind = draw_kind(random);
    fault.at = kFaultsBegin + from_seconds(kBeginsWithin * random.uniform());
    if (before.kind == FaultKind::kRouterRestart && random.uniform() < kUnseenShare) {
      fault.kind = random.below(2) == 0 ? FaultKind::kCrash : FaultKind::kPoolChange;
      fault.at = before.at + from_seconds(to_seconds(before.lasts) * random.uniform());
    }
    fault.lasts = std::min(draw_length(random, fault.kind), kFaultsOver - fault.at);
    const std::uint32_t all = is_of_engine(fault.kind) ? engines : routers;
    fault.whose = static_cast<std::uint32_t>(random.below(all));
    fault.router = static_cast<std::uint32_t>(random.below(routers));
    fault.cut = static_cast<CutWires>(random.below(3));
    before = fault;
  }
  std::ranges::sort(faults, [](const Fault& a, const Fault& b) {
    return std::tie(a.at, a.kind, a.whose) < std::tie(b.at, b.kind, b.whose);
  });
  return faults;
}

std::string describe(const Fault& fault) {
  std::string text =
      fmt::format("{:8.3f} s  {} of {} {}", to_seconds(fault.at), to_string(fault.kind),
                  is_of_engine(fault.kind) ? "engine" : "router", fault.whose);
  if (fault.kind == FaultKind::kCutWire)
    text += fmt::format(" to router {}{}", fault.router, to_string(fault.cut));
  if (fault.lasts > Duration{}) text += fmt::format(" for {:.3f} s", to_seconds(fault.lasts));
  return text;
}

}  // namespace fairlead::sim
