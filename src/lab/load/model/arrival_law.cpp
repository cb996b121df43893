// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/arrival_law.h"

#include <algorithm>
#include <cmath>

namespace fairlead::load {
namespace {

// Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26(3), 2000.
double gamma_draw(double shape, Random& random) {
  if (shape < 1) {
    const double below_one = std::pow(1 - random.uniform(), 1 / shape);
    return gamma_draw(shape + 1, random) * below_one;
  }
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = random.normal();
    const double v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    const double u = 1 - random.uniform();
    if (std::log(u) < x * x / 2 + d - d * v + d * std::log(v)) return d * v;
  }
}

// The shape of a Weibull law with this CV, which falls as the shape grows.
double weibull_shape(double cv) {
  double low = 0.1;  // Its CV is 429.
  double high = 50;
  for (int i = 0; i < 60; ++i) {
    const double shape = (low + high) / 2;
    const double mean = std::tgamma(1 + 1 / shape);
    const double square = std::tgamma(1 + 2 / shape) / (mean * mean) - 1;
    (square > cv * cv ? low : high) = shape;
  }
  return low;
}

// Gaps with mean 1.
class Gaps {
 public:
  explicit Gaps(const ArrivalLaw& law) : kind_(law.kind) {
    if (kind_ == ArrivalLaw::Kind::kGamma) shape_ = 1 / (law.cv * law.cv);
    if (kind_ != ArrivalLaw::Kind::kWeibull) return;
    shape_ = weibull_shape(law.cv);
    scale_ = 1 / std::tgamma(1 + 1 / shape_);
  }

  double draw(Random& random) const {
    switch (kind_) {
      case ArrivalLaw::Kind::kConstant:
        return 1;
      case ArrivalLaw::Kind::kGamma:
        return gamma_draw(shape_, random) / shape_;
      case ArrivalLaw::Kind::kWeibull:
        return scale_ * std::pow(random.exponential(1), 1 / shape_);
      case ArrivalLaw::Kind::kPoisson:
      case ArrivalLaw::Kind::kOnOff:
        break;
    }
    return random.exponential(1);
  }

 private:
  ArrivalLaw::Kind kind_;
  double shape_ = 1;
  double scale_ = 1;
};

// Operational time runs at 1 on average, faster in the on state; arrivals are Poisson in it.
std::vector<double> on_off_arrivals(const ArrivalLaw& law, double rate, double begin, double end,
                                    Random& random) {
  const double on_share = law.on_s / (law.on_s + law.off_s);
  const double on_rate = rate / (on_share + (1 - on_share) * law.off_rate);
  std::vector<double> times;
  bool on = random.uniform() < on_share;
  for (double at = begin; at < end; on = !on) {
    const double until = std::min(end, at + random.exponential(on ? law.on_s : law.off_s));
    const double here = on ? on_rate : on_rate * law.off_rate;
    while (here > 0) {
      at += random.exponential(1 / here);
      if (at >= until) break;
      times.push_back(at);
    }
    at = until;
  }
  return times;
}

}  // namespace

std::vector<double> arrivals_between(const ArrivalLaw& law, double rate, double begin_s,
                                     double end_s, Random& random) {
  if (law.kind == ArrivalLaw::Kind::kOnOff) {
    return on_off_arrivals(law, rate, begin_s, end_s, random);
  }
  const Gaps gaps(law);
  std::vector<double> times;
  double at = begin_s;
  if (law.kind != ArrivalLaw::Kind::kConstant) {
    // A renewal process that began with an arrival has (CV^2 - 1) / 2 too many arrivals; after
    // this many gaps that is over.
    const double run_in = law.kind == ArrivalLaw::Kind::kPoisson ? 0 : 50 + 20 * law.cv * law.cv;
    at -= run_in / rate;
    do at += gaps.draw(random) / rate;
    while (at < begin_s);
  }
  for (; at < end_s; at += gaps.draw(random) / rate) times.push_back(at);
  return times;
}

}  // namespace fairlead::load
