// SPDX-License-Identifier: Apache-2.0
// Quantity: a number that is drawn anew for each request, session or document, as a workload file
// writes it:
//
//   1000                                      always this
//   uniform min=5000 max=20000
//   lognormal mean=4000 sigma=0.8             or p50=3000 p90=9000
//   geometric mean=4                          whole numbers from 1 on
//   exponential mean=45
//
// `min` and `max` may follow any law; a draw beyond them becomes them, so `mean` is that of the law
// before. Units are the reader's. Values; same seed, same draws. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/random.h"
#include "base/result.h"

namespace fairlead::load {

class Quantity {
 public:
  struct Range {
    double least = 0;
    double most = 0;
  };

  // Always 0.
  Quantity() = default;
  static Quantity fixed(double value);
  // No draw leaves the range; bounds and constants outside it are errors.
  static Result<Quantity> parse(std::string_view text, Range range);

  double draw(Random& random) const;
  // Rounded to the nearest whole number; of a uniform law each whole number is as likely.
  // Not for quantities that may be below 0 or above 2^32.
  std::uint32_t draw_whole(Random& random) const;
  // Of draw_whole(), to about a percent.
  double mean_whole() const;

  friend bool operator==(const Quantity&, const Quantity&) = default;

 private:
  enum class Law : std::uint8_t { kFixed, kUniform, kLogNormal, kGeometric, kExponential };
  struct Written;
  static Result<Quantity> from(const Written& written);

  Law law_ = Law::kFixed;
  double location_ = 0;  // Mean, or of the logarithm with kLogNormal.
  double sigma_ = 0;
  double min_ = 0;
  double max_ = 0;
};

}  // namespace fairlead::load
