// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/prefix_cache_scorer.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

class PrefixCacheScorer final : public Scorer {
 public:
  PrefixCacheScorer(float weight, float scale) : weight_(weight), scale_(scale) {}

  void score(const model::InferenceRequest& request, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    if (request.prompt_tokens == 0) return;
    const auto prompt = static_cast<float>(request.prompt_tokens);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const float cached = table.cached_tokens[rows[i]];
      const float length = std::min(1.0F, cached / scale_);
      out[i] = weight_ * length * length + (1 - weight_) * std::min(1.0F, cached / prompt);
    }
  }

 private:
  float weight_;
  float scale_;
};

std::unique_ptr<Scorer> create_prefix_cache_scorer(config::Section& parameters) {
  parameters.text("prefixMatchInfoProducerName", "");
  const double weight = parameters.number("matchLengthWeight", 0, 0, 1);
  const double scale = parameters.number("matchLengthScaleTokens", 8192, 1, 1e9);
  return std::make_unique<PrefixCacheScorer>(static_cast<float>(weight), static_cast<float>(scale));
}

}  // namespace

ScorerSpec prefix_cache_scorer_spec() {
  return {"prefix-cache-scorer",
          Stability::kBeta,
          {Column::kCachedTokens},
          ScoreKind::kUnit,
          create_prefix_cache_scorer};
}

}  // namespace fairlead::scheduling
