// SPDX-License-Identifier: Apache-2.0
// How requests or sessions of a workload come: the law of the gaps between them. CV is the
// coefficient of variation of the gaps: 1 is Poisson, public traffic has 1 to 13
// (docs/workloads.md). Pure; same seed, same times.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"

namespace fairlead::load {

struct ArrivalLaw {
  enum class Kind : std::uint8_t {
    kPoisson,
    kConstant,
    kGamma,
    kWeibull,
    kOnOff,  // Poisson, at two rates in turn, each for an exponential time.
  };
  static constexpr double kMinCv = 0.1;
  static constexpr double kMaxCv = 20;

  Kind kind = Kind::kPoisson;
  double cv = 1;    // Of kGamma and kWeibull, in kMinCv..kMaxCv.
  double on_s = 1;  // Mean lengths of the two states, above 0.
  double off_s = 1;
  double off_rate = 0;  // Rate of the off state as a share of the other's, in 0..1.

  friend bool operator==(const ArrivalLaw&, const ArrivalLaw&) = default;
};

// Times in [begin_s, end_s), ascending, at `rate` (> 0) a second on average: the process has been
// going on for long at begin_s, so that bursts do not gather there.
std::vector<double> arrivals_between(const ArrivalLaw& law, double rate, double begin_s,
                                     double end_s, Random& random);

}  // namespace fairlead::load
