// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/cold_placement_cost_scorer.h"

namespace fairlead::scheduling {
namespace {

class ColdPlacementCostScorer final : public Scorer {
 public:
  explicit ColdPlacementCostScorer(float tokens_per_rank) : tokens_per_rank_(tokens_per_rank) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out[i] = tokens_per_rank_ * table.cold_order[rows[i]];
    }
  }

 private:
  float tokens_per_rank_;
};

std::unique_ptr<Scorer> create_cold_placement_cost_scorer(config::Section& parameters) {
  const double tokens = parameters.number("tokensPerRank", 3000, 0, 1e9);
  return std::make_unique<ColdPlacementCostScorer>(static_cast<float>(tokens));
}

}  // namespace

ScorerSpec cold_placement_cost_scorer_spec() {
  return {"cold-placement-cost-scorer",
          Stability::kBeta,
          {Column::kColdOrder},
          ScoreKind::kTokens,
          create_cold_placement_cost_scorer};
}

}  // namespace fairlead::scheduling
