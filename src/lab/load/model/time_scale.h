// SPDX-License-Identifier: Apache-2.0
// TimeScale: the one place where model time and wall time meet. Engines at speed k finish k seconds
// of model time in a second of wall time; workloads are planned and results are reported in model
// time. In virtual time the speed is 1. A value; thread-safe.
#pragma once

#include "base/time.h"

namespace fairlead::load {

struct TimeScale {
  double speed = 1;  // Above 0.

  Duration to_wall(Duration model) const {
    return speed == 1 ? model : from_seconds(to_seconds(model) / speed);
  }
  double model_seconds(Duration wall) const { return to_seconds(wall) * speed; }
};

}  // namespace fairlead::load
