// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/active_request_scorer.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

class ActiveRequestScorer final : public Scorer {
 public:
  ActiveRequestScorer(float idle, float busy) : idle_(idle), busy_(busy) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    float most = 0;
    for (const std::uint32_t row : rows) most = std::max(most, table.inflight_requests[row]);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const float active = table.inflight_requests[rows[i]];
      out[i] = active <= idle_ ? 1.0F : (most - active) / most * busy_;
    }
  }

 private:
  float idle_;
  float busy_;
};

std::unique_ptr<Scorer> create_active_request_scorer(config::Section& parameters) {
  parameters.text("inFlightLoadProducerName", "");
  parameters.text("requestTimeout", "");
  const double idle = parameters.number("idleThreshold", 0, 0, 1e9);
  const double busy = parameters.number("maxBusyScore", 1, 0, 1);
  return std::make_unique<ActiveRequestScorer>(static_cast<float>(idle), static_cast<float>(busy));
}

}  // namespace

ScorerSpec active_request_scorer_spec() {
  return {"active-request-scorer",
          Stability::kBeta,
          {Column::kInFlightRequests},
          ScoreKind::kUnit,
          create_active_request_scorer};
}

}  // namespace fairlead::scheduling
