// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/token_load_scorer.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

class TokenLoadScorer final : public Scorer {
 public:
  explicit TokenLoadScorer(float threshold) : threshold_(threshold) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const float load = table.inflight_tokens[rows[i]] + table.own_uncached_tokens[rows[i]];
      out[i] = 1.0F - std::min(load, threshold_) / threshold_;
    }
  }

 private:
  float threshold_;
};

std::unique_ptr<Scorer> create_token_load_scorer(config::Section& parameters) {
  parameters.text("inFlightLoadProducerName", "");
  const double threshold = parameters.number("queueThresholdTokens", 4194304, 1, 1e12);
  return std::make_unique<TokenLoadScorer>(static_cast<float>(threshold));
}

}  // namespace

ScorerSpec token_load_scorer_spec() {
  return {"token-load-scorer",
          Stability::kBeta,
          {Column::kInFlightTokens, Column::kOwnUncachedTokens},
          ScoreKind::kUnit,
          create_token_load_scorer};
}

}  // namespace fairlead::scheduling
