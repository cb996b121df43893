// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/cold_placement_cost_scorer.h"

namespace fairlead::scheduling {
namespace {

class ColdPlacementCostScorer final : public Scorer {
 public:
  ColdPlacementCostScorer(float tokens_per_rank, float reuse_share)
      : tokens_per_rank_(tokens_per_rank), reuse_share_(reuse_share) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::uint32_t row = rows[i];
      const float reuse = table.reuse[row];
      const float again = reuse_share_ * reuse * reuse * table.cold_tokens[row];
      out[i] = (tokens_per_rank_ + again) * table.cold_order[row];
    }
  }

 private:
  float tokens_per_rank_;
  float reuse_share_;
};

std::unique_ptr<Scorer> create_cold_placement_cost_scorer(config::Section& parameters) {
  const double tokens = parameters.number("tokensPerRank", 0, 0, 1e9);
  const double share = parameters.number("reuseShare", 1.5, 0, 1000);
  return std::make_unique<ColdPlacementCostScorer>(static_cast<float>(tokens),
                                                   static_cast<float>(share));
}

}  // namespace

ScorerSpec cold_placement_cost_scorer_spec() {
  return {"cold-placement-cost-scorer",
          Stability::kBeta,
          {Column::kColdOrder, Column::kColdTokens, Column::kReuse},
          ScoreKind::kTokens,
          create_cold_placement_cost_scorer};
}

}  // namespace fairlead::scheduling
