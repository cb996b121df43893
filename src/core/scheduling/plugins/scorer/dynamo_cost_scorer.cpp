// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/dynamo_cost_scorer.h"

namespace fairlead::scheduling {
namespace {

class DynamoCostScorer final : public Scorer {
 public:
  explicit DynamoCostScorer(float prefill_scale) : prefill_scale_(prefill_scale) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::uint32_t row = rows[i];
      const float prefill = table.inflight_tokens[row] + table.own_uncached_tokens[row];
      out[i] = prefill_scale_ * prefill + table.inflight_context[row];
    }
  }

 private:
  float prefill_scale_;
};

std::unique_ptr<Scorer> create_dynamo_cost_scorer(config::Section& parameters) {
  const double scale = parameters.number("prefillLoadScale", 1, 0, 1e6);
  return std::make_unique<DynamoCostScorer>(static_cast<float>(scale));
}

}  // namespace

ScorerSpec dynamo_cost_scorer_spec() {
  return {"dynamo-cost-scorer",
          Stability::kAlpha,
          {Column::kInFlightTokens, Column::kOwnUncachedTokens, Column::kInFlightContext},
          ScoreKind::kTokens,
          create_dynamo_cost_scorer};
}

}  // namespace fairlead::scheduling
