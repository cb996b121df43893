// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/running_requests_size_scorer.h"

#include <algorithm>
#include <limits>

namespace fairlead::scheduling {
namespace {

class RunningRequestsSizeScorer final : public Scorer {
 public:
  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    const auto& column = table.running;
    float low = std::numeric_limits<float>::max();
    float high = 0;
    for (const std::uint32_t row : rows) {
      low = std::min(low, column[row]);
      high = std::max(high, column[row]);
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out[i] = high > low ? (high - column[rows[i]]) / (high - low) : 1.0F;
    }
  }
};

std::unique_ptr<Scorer> create_running_requests_size_scorer(config::Section& /*parameters*/) {
  return std::make_unique<RunningRequestsSizeScorer>();
}

}  // namespace

ScorerSpec running_requests_size_scorer_spec() {
  return {"running-requests-size-scorer",
          Stability::kBeta,
          {Column::kRunning},
          ScoreKind::kUnit,
          create_running_requests_size_scorer};
}

}  // namespace fairlead::scheduling
