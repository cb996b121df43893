// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/preble_cost_scorer.h"

#include <algorithm>
#include <limits>

namespace fairlead::scheduling {
namespace {

// Above every cost of a fleet at work, and small enough that costs above it are still told apart by
// some hundred tokens.
constexpr float kBehind = 1e9F;

struct PrebleWeights {
  float decode_tokens;
  float balance_factor;
  float balance_tokens;
};

class PrebleCostScorer final : public Scorer {
 public:
  explicit PrebleCostScorer(PrebleWeights weights) : weights_(weights) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    float longest = 0;
    float least = std::numeric_limits<float>::max();
    float least_of_longest = least;
    for (const std::uint32_t row : rows) {
      const float load = load_of(table, row);
      least = std::min(least, load);
      const float cached = table.cached_tokens[row];
      if (cached <= table.own_uncached_tokens[row] || cached < longest) continue;
      if (cached > longest) least_of_longest = load;
      longest = cached;
      least_of_longest = std::min(least_of_longest, load);
    }
    const bool exploits = longest > 0 && !is_overloaded(least_of_longest, least);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::uint32_t row = rows[i];
      out[i] = load_of(table, row) + table.own_uncached_tokens[row] * (1 + table.kv_usage[row]);
      if (exploits && table.cached_tokens[row] < longest) out[i] += kBehind;
    }
  }

 private:
  float load_of(const Candidates& table, std::uint32_t row) const {
    const float decoding = table.inflight_requests[row] - table.unstarted[row];
    return table.inflight_tokens[row] + weights_.decode_tokens * decoding;
  }

  bool is_overloaded(float load, float least) const {
    return load > weights_.balance_factor * least && load - least > weights_.balance_tokens;
  }

  PrebleWeights weights_;
};

std::unique_ptr<Scorer> create_preble_cost_scorer(config::Section& parameters) {
  const auto read = [&](std::string_view key, double fallback, double min) {
    return static_cast<float>(parameters.number(key, fallback, min, 1e9));
  };
  return std::make_unique<PrebleCostScorer>(PrebleWeights{read("decodeTokens", 1000, 0),
                                                          read("balanceFactor", 2, 1),
                                                          read("balanceTokens", 50'000, 0)});
}

}  // namespace

ScorerSpec preble_cost_scorer_spec() {
  return {"preble-cost-scorer",
          Stability::kAlpha,
          {Column::kInFlightRequests, Column::kInFlightTokens, Column::kUnstarted,
           Column::kCachedTokens, Column::kOwnUncachedTokens, Column::kKvUsage},
          ScoreKind::kTokens,
          create_preble_cost_scorer};
}

}  // namespace fairlead::scheduling
