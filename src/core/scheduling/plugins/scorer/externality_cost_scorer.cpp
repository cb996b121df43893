// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/externality_cost_scorer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fairlead::scheduling {
namespace {

struct Weights {
  float own;
  float waiting;
  float decode;
  float slot_tokens;
  float kv_weight;
  float shortage;
};

// The mean of what is above 0 of a normally distributed value.
float mean_above_zero(float mean, float spread) {
  constexpr float kFar = 5;  // Beyond so many spreads the chance is below 1e-6.
  if (std::abs(mean) >= kFar * spread) return std::max(0.0F, mean);
  const float z = mean / spread;
  const float density =
      std::exp(-z * z / 2) * std::numbers::inv_sqrtpi_v<float> / std::numbers::sqrt2_v<float>;
  const float chance = std::erfc(-z / std::numbers::sqrt2_v<float>) / 2;
  return spread * density + mean * chance;
}

class ExternalityCostScorer final : public Scorer {
 public:
  explicit ExternalityCostScorer(Weights weights) : weights_(weights) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    float waiting = 0;
    for (const std::uint32_t row : rows) waiting += table.unstarted[row];
    const float crowd = waiting / static_cast<float>(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::uint32_t row = rows[i];
      const float decoding = table.inflight_requests[row] - table.unstarted[row];
      const float delayed = 1 + weights_.own + weights_.waiting * crowd +
                            weights_.decode * decoding + weights_.shortage * table.shortage[row];
      const float tokens = table.inflight_tokens[row] + table.own_uncached_tokens[row] * delayed +
                           weights_.slot_tokens * decoding +
                           weights_.kv_weight * (1 + weights_.own) * pushed_out(table, row);
      out[i] = table.slowness[row] * tokens;
    }
  }

 private:
  static float pushed_out(const Candidates& table, std::uint32_t row) {
    const float capacity = table.kv_tokens[row];
    if (capacity == 0) return 0;
    const float needed = table.kv_usage[row] * capacity + table.inflight_tokens[row] +
                         table.own_uncached_tokens[row];
    const float requests = std::max(1.0F, table.inflight_requests[row]);
    return mean_above_zero(needed - capacity, table.inflight_context[row] / std::sqrt(requests));
  }

  Weights weights_;
};

std::unique_ptr<Scorer> create_externality_cost_scorer(config::Section& parameters) {
  const auto read = [&](std::string_view key, double fallback) {
    return static_cast<float>(parameters.number(key, fallback, 0, 1e6));
  };
  return std::make_unique<ExternalityCostScorer>(
      Weights{read("ownWeight", 0), read("waitingWeight", 0.5), read("decodeWeight", 0.1),
              read("decodeSlotTokens", 8), read("kvWeight", 0.5), read("shortageWeight", 8)});
}

}  // namespace

ScorerSpec externality_cost_scorer_spec() {
  return {"externality-cost-scorer",
          Stability::kBeta,
          {Column::kInFlightRequests, Column::kInFlightTokens, Column::kUnstarted,
           Column::kOwnUncachedTokens, Column::kInFlightContext, Column::kKvUsage,
           Column::kKvTokens, Column::kSlowness, Column::kShortage},
          ScoreKind::kTokens,
          create_externality_cost_scorer};
}

}  // namespace fairlead::scheduling
