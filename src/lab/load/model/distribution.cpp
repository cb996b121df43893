// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/distribution.h"

#include <algorithm>

namespace fairlead::load {
namespace {

// Walks sorted weighted values by ascending rank.
class RankCursor {
 public:
  explicit RankCursor(std::span<const WeightedValue> sorted) : sorted_(sorted) {}

  // The value at this rank; ranks must not fall from call to call.
  double at(std::uint64_t rank) {
    while (rank >= before_ + sorted_[index_].weight) before_ += sorted_[index_++].weight;
    return sorted_[index_].value;
  }

 private:
  std::span<const WeightedValue> sorted_;
  std::size_t index_ = 0;
  std::uint64_t before_ = 0;  // Total weight left of index_.
};

}  // namespace

Distribution describe(std::span<double> values) {
  Distribution result;
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  result.count = values.size();
  result.min = values.front();
  result.max = values.back();
  double sum = 0;
  for (const double value : values) sum += value;
  const auto last = static_cast<double>(values.size() - 1);
  result.mean = sum / static_cast<double>(values.size());
  for (std::size_t i = 0; i < kPercentiles.size(); ++i) {
    const double rank = kPercentiles[i] / 100 * last;
    const auto low = static_cast<std::size_t>(rank);
    const std::size_t high = std::min(low + 1, values.size() - 1);
    result.percentiles[i] =
        values[low] + (rank - static_cast<double>(low)) * (values[high] - values[low]);
  }
  return result;
}

Distribution describe(std::span<WeightedValue> values) {
  Distribution result;
  std::sort(values.begin(), values.end(),
            [](const WeightedValue& a, const WeightedValue& b) { return a.value < b.value; });
  double sum = 0;
  for (const WeightedValue& value : values) {
    if (value.weight == 0) continue;
    if (result.count == 0) result.min = value.value;
    result.max = value.value;
    result.count += value.weight;
    sum += value.value * static_cast<double>(value.weight);
  }
  if (result.count == 0) return result;
  result.mean = sum / static_cast<double>(result.count);
  RankCursor cursor(values);
  for (std::size_t i = 0; i < kPercentiles.size(); ++i) {
    const double rank = kPercentiles[i] / 100 * static_cast<double>(result.count - 1);
    const auto low = static_cast<std::uint64_t>(rank);
    const double floor = cursor.at(low);
    RankCursor ahead = cursor;
    const double ceiling = ahead.at(std::min(low + 1, result.count - 1));
    result.percentiles[i] = floor + (rank - static_cast<double>(low)) * (ceiling - floor);
  }
  return result;
}

}  // namespace fairlead::load
