// SPDX-License-Identifier: Apache-2.0
#include "lab/plan/paired_ratio.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "base/random.h"

namespace fairlead::plan {
namespace {

std::vector<double> logs_of(std::span<const double> ratios) {
  std::vector<double> logs;
  logs.reserve(ratios.size());
  for (const double ratio : ratios) logs.push_back(std::log(ratio));
  return logs;
}

double redrawn_mean(std::span<const double> logs, Random& random) {
  double sum = 0;
  for (std::size_t i = 0; i < logs.size(); ++i) sum += logs[random.below(logs.size())];
  return sum / static_cast<double>(logs.size());
}

double median_of(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : std::sqrt(values[half - 1] * values[half]);
}

}  // namespace

double geometric_mean(std::span<const double> ratios) {
  FAIRLEAD_ASSERT(!ratios.empty());
  double sum = 0;
  for (const double ratio : ratios) sum += std::log(ratio);
  return std::exp(sum / static_cast<double>(ratios.size()));
}

Interval ratio_interval(std::span<const std::vector<double>> groups, std::uint64_t seed) {
  FAIRLEAD_ASSERT(!groups.empty());
  std::vector<std::vector<double>> logs;
  for (const std::vector<double>& group : groups) logs.push_back(logs_of(group));
  Random random(seed);
  std::vector<double> means;
  means.reserve(kResamples);
  for (std::uint32_t i = 0; i < kResamples; ++i) {
    double sum = 0;
    for (const std::vector<double>& group : logs) sum += redrawn_mean(group, random);
    means.push_back(std::exp(sum / static_cast<double>(logs.size())));
  }
  std::ranges::sort(means);
  // The outer fortieth on either side is left out.
  constexpr std::uint32_t kTail = kResamples / 40;
  return {means[kTail], means[kResamples - 1 - kTail]};
}

PairedRatio paired_ratio(std::span<const double> ratios, std::uint64_t seed) {
  const std::vector<double> group(ratios.begin(), ratios.end());
  return {geometric_mean(group), median_of(group), std::ranges::max(group),
          ratio_interval(std::span(&group, 1), seed)};
}

}  // namespace fairlead::plan
