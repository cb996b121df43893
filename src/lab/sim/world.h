// SPDX-License-Identifier: Apache-2.0
// run_world: one random world in virtual time: engines, one to three routers in front of them that
// know of each other what engines' figures tell and, in every other world, what they tell each
// other, clients, and faults, all drawn from one seed.
// Whatever goes wrong, what must hold is checked at every event and when all has healed; the first
// thing that did not hold is in the report. The same seed gives the same report, to the byte.
//
//   2 s .. 42 s   at least kFaultsMin faults, and requests all the time
//   56 s          everybody is healthy, trusted and known again (kRecovery)
//   57 s ..       requests that must all be answered
//
// Threads: thread-compatible; nothing is shared but the policies, which are constant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/scheduling/profile.h"
#include "lab/sim/fault.h"
#include "lab/sim/ledger.h"

namespace fairlead::sim {

// The shipped policies that need nothing which a world does not have.
Result<std::vector<scheduling::Profile>> sim_policies();

inline constexpr std::size_t kRequestsMin = 60;  // In the time of faults.
inline constexpr std::size_t kRoutersMax = 3;

struct WorldReport {
  std::uint64_t seed = 0;
  std::vector<Fault> faults;
  std::size_t requests = 0;
  std::vector<std::size_t> asked;     // By router: requests, those asked again included.
  std::size_t drained = 0;            // Routers that ended in order.
  std::size_t killed = 0;             // And those that did not.
  std::size_t loaded = 0;             // Restarts that went on from what was saved.
  std::size_t refused = 0;            // Restarts that did without, because it was damaged.
  std::array<std::size_t, 7> ends{};  // Requests by ClientEnd.
  std::uint64_t events = 0;
  std::uint64_t digest = 0;  // Of all that clients got, and when.
  bool gateway = false;      // Else through Envoy.
  bool exchanges = false;    // Routers tell each other what they send where.
  std::optional<Finding> finding;
};

WorldReport run_world(std::uint64_t seed, const std::vector<scheduling::Profile>& policies);

// The faults, what was found and what became of the requests, in lines.
std::string describe(const WorldReport& report);

}  // namespace fairlead::sim
