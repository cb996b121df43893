// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/externality_cost_scorer.h"

namespace fairlead::scheduling {
namespace {

struct Weights {
  float own;
  float waiting;
  float decode;
  float slot_tokens;
};

class ExternalityCostScorer final : public Scorer {
 public:
  explicit ExternalityCostScorer(Weights weights) : weights_(weights) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    float waiting = 0;
    for (const std::uint32_t row : rows) waiting += table.unstarted[row];
    const float crowd = waiting / static_cast<float>(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::uint32_t row = rows[i];
      const float decoding = table.inflight_requests[row] - table.unstarted[row];
      const float delayed =
          1 + weights_.own + weights_.waiting * crowd + weights_.decode * decoding;
      out[i] = table.inflight_tokens[row] + table.own_uncached_tokens[row] * delayed +
               weights_.slot_tokens * decoding;
    }
  }

 private:
  Weights weights_;
};

std::unique_ptr<Scorer> create_externality_cost_scorer(config::Section& parameters) {
  const auto read = [&](std::string_view key, double fallback) {
    return static_cast<float>(parameters.number(key, fallback, 0, 1e6));
  };
  return std::make_unique<ExternalityCostScorer>(
      Weights{read("ownWeight", 1), read("waitingWeight", 2), read("decodeWeight", 0.05),
              read("decodeSlotTokens", 1000)});
}

}  // namespace

ScorerSpec externality_cost_scorer_spec() {
  return {"externality-cost-scorer",
          Stability::kBeta,
          {Column::kInFlightRequests, Column::kInFlightTokens, Column::kUnstarted,
           Column::kOwnUncachedTokens},
          ScoreKind::kTokens,
          create_externality_cost_scorer};
}

}  // namespace fairlead::scheduling
