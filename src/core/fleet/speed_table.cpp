// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/speed_table.h"

#include <algorithm>
#include <cmath>

namespace fairlead::fleet {
namespace {

double read(const std::atomic<double>& sum) { return sum.load(std::memory_order_relaxed); }

void add(std::atomic<double>& sum, double value, double memory) {
  sum.store(read(sum) * (1 - 1 / memory) + value, std::memory_order_relaxed);
}

}  // namespace

void SpeedTable::first_token(std::uint32_t slot, Time sent, double tokens, Time now) {
  Cell& cell = cells_[slot];
  const std::int64_t now_ns = now.time_since_epoch().count();
  const std::int64_t last_ns = cell.last_ns.exchange(now_ns, std::memory_order_relaxed);
  const std::int64_t begun_ns = std::max<std::int64_t>(last_ns, sent.time_since_epoch().count());
  const double seconds = to_seconds(Duration(std::max<std::int64_t>(0, now_ns - begun_ns)));
  const double expected_s = expected(tokens);
  const double values[kParts] = {1, tokens, seconds, tokens * tokens, tokens * seconds};
  for (std::size_t part = 0; part < kParts; ++part) add(pool_[part], values[part], kPoolMemory);
  if (expected_s == 0) return;
  add(cell.prompts, 1, kMemory);
  add(cell.took, seconds, kMemory);
  add(cell.expected, expected_s, kMemory);
}

double SpeedTable::expected(double tokens) const {
  const double prompts = read(pool_[kPrompts]);
  if (prompts < kEnough) return 0;
  const double mean_tokens = read(pool_[kTokens]) / prompts;
  const double mean_s = read(pool_[kSeconds]) / prompts;
  const double variance = read(pool_[kTokens2]) / prompts - mean_tokens * mean_tokens;
  const double covariance = read(pool_[kTokensSeconds]) / prompts - mean_tokens * mean_s;
  // Neither the overhead nor the time of a token is below nothing.
  const double steepest = mean_tokens > 0 ? mean_s / mean_tokens : 0;
  const double slope = variance > 0 ? std::clamp(covariance / variance, 0.0, steepest) : 0;
  return mean_s + slope * (tokens - mean_tokens);
}

float SpeedTable::slowness(std::uint32_t slot, Time now) const {
  const Cell& cell = cells_[slot];
  const double expected_s = read(cell.expected);
  if (read(cell.prompts) < kEnough || !(expected_s > 0)) return 1;
  const double seen = std::clamp(read(cell.took) / expected_s, 1 / kMost, kMost);
  if (seen < kAlike && seen > 1 / kAlike) return 1;
  const Time last{Duration(cell.last_ns.load(std::memory_order_relaxed))};
  const double age = to_seconds(std::max(Duration{}, now - last)) / to_seconds(kHalfLife);
  return static_cast<float>(std::pow(seen, std::exp2(-age)));
}

void SpeedTable::forget(std::uint32_t slot) {
  Cell& cell = cells_[slot];
  cell.last_ns.store(0, std::memory_order_relaxed);
  for (Sum* sum : {&cell.prompts, &cell.took, &cell.expected}) {
    sum->store(0, std::memory_order_relaxed);
  }
}

}  // namespace fairlead::fleet
