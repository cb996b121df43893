// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/load_aware_scorer.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

class LoadAwareScorer final : public Scorer {
 public:
  explicit LoadAwareScorer(float threshold) : threshold_(threshold) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out[i] = 0.5F * (1.0F - std::min(table.waiting[rows[i]], threshold_) / threshold_);
    }
  }

 private:
  float threshold_;
};

std::unique_ptr<Scorer> create_load_aware_scorer(config::Section& parameters) {
  const double threshold = parameters.number("threshold", 128, 1, 1e9);
  return std::make_unique<LoadAwareScorer>(static_cast<float>(threshold));
}

}  // namespace

ScorerSpec load_aware_scorer_spec() {
  return {"load-aware-scorer",
          Stability::kBeta,
          {Column::kWaiting},
          ScoreKind::kUnit,
          create_load_aware_scorer};
}

}  // namespace fairlead::scheduling
