// SPDX-License-Identifier: Apache-2.0
// Random: the only source of chance. Deterministic for a seed on every platform, so a run can be
// replayed; seeds come from the composition root. Thread-compatible: one object per owner.
//
// Generator: xoshiro256** seeded by SplitMix64 (Blackman and Vigna, prng.di.unimi.it).
#pragma once

#include <array>
#include <cstdint>

namespace fairlead {

class Random {
 public:
  explicit Random(std::uint64_t seed);

  std::uint64_t next();
  // Uniform in [0, 1), 53 bits.
  double uniform();
  // Uniform in [0, bound); bound > 0. Lemire's multiply method, bias below 2^-32 for small bounds.
  std::uint64_t below(std::uint64_t bound);
  // Exponential with the given mean.
  double exponential(double mean);
  // Normal(0, 1), Box-Muller; draws two uniforms per call.
  double normal();

 private:
  std::array<std::uint64_t, 4> state_;
};

// One SplitMix64 step: a cheap, well-mixed 64-bit hash of a 64-bit value.
std::uint64_t mix64(std::uint64_t value);

}  // namespace fairlead
