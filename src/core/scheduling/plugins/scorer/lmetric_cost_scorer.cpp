// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/lmetric_cost_scorer.h"

namespace fairlead::scheduling {
namespace {

enum class PrefillTokens : std::uint8_t { kQueued, kOwn };

class LmetricCostScorer final : public Scorer {
 public:
  explicit LmetricCostScorer(PrefillTokens counted) : counted_(counted) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::uint32_t row = rows[i];
      float tokens = table.own_uncached_tokens[row];
      if (counted_ == PrefillTokens::kQueued) tokens += table.inflight_tokens[row];
      out[i] = tokens * (table.inflight_requests[row] + 1);
    }
  }

 private:
  PrefillTokens counted_;
};

std::unique_ptr<Scorer> create_lmetric_cost_scorer(config::Section& parameters) {
  const bool own = parameters.choice("prefillTokens", "queued", {"queued", "own"}) == "own";
  return std::make_unique<LmetricCostScorer>(own ? PrefillTokens::kOwn : PrefillTokens::kQueued);
}

}  // namespace

ScorerSpec lmetric_cost_scorer_spec() {
  return {"lmetric-cost-scorer",
          Stability::kAlpha,
          {Column::kInFlightRequests, Column::kInFlightTokens, Column::kOwnUncachedTokens},
          ScoreKind::kTokens,
          create_lmetric_cost_scorer};
}

}  // namespace fairlead::scheduling
