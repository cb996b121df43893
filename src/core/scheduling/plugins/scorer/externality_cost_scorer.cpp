// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/externality_cost_scorer.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

struct Weights {
  float own;
  float waiting;
  float decode;
  float slot_tokens;
  float growth_tokens;
  float kv_knee;
  float kv_weight;
  float shortage;
};

class ExternalityCostScorer final : public Scorer {
 public:
  explicit ExternalityCostScorer(Weights weights) : weights_(weights) {}

  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    float waiting = 0;
    for (const std::uint32_t row : rows) {
      waiting += table.unstarted[row] + table.others_unstarted[row];
    }
    const float crowd = waiting / static_cast<float>(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::uint32_t row = rows[i];
      const float decoding =
          table.inflight_requests[row] - table.unstarted[row] + table.others_decoding[row];
      const float queue = table.inflight_tokens[row] + table.others_tokens[row];
      const float delayed = 1 + weights_.own + weights_.waiting * crowd +
                            weights_.decode * decoding + weights_.shortage * table.shortage[row];
      const float tokens =
          queue + table.own_uncached_tokens[row] * delayed + weights_.slot_tokens * decoding +
          weights_.kv_weight * (1 + weights_.own) * beyond_knee(table, row, queue, decoding);
      out[i] = table.slowness[row] * tokens;
    }
  }

 private:
  float beyond_knee(const Candidates& table, std::uint32_t row, float queue, float decoding) const {
    const float capacity = table.kv_tokens[row];
    const float needed = table.kv_usage[row] * capacity + queue + table.own_uncached_tokens[row] +
                         weights_.growth_tokens * decoding;
    return capacity == 0 ? 0 : std::max(0.0F, needed - weights_.kv_knee * capacity);
  }

  Weights weights_;
};

std::unique_ptr<Scorer> create_externality_cost_scorer(config::Section& parameters) {
  const auto read = [&](std::string_view key, double fallback) {
    return static_cast<float>(parameters.number(key, fallback, 0, 1e6));
  };
  return std::make_unique<ExternalityCostScorer>(
      Weights{read("ownWeight", 0), read("waitingWeight", 0.5), read("decodeWeight", 0.1),
              read("decodeSlotTokens", 8), read("growthTokens", 500),
              static_cast<float>(parameters.number("kvKnee", 0.8, 0, 1)), read("kvWeight", 0.5),
              read("shortageWeight", 8)});
}

}  // namespace

ScorerSpec externality_cost_scorer_spec() {
  return {
      "externality-cost-scorer",
      Stability::kBeta,
      {Column::kInFlightRequests, Column::kInFlightTokens, Column::kUnstarted,
       Column::kOwnUncachedTokens, Column::kKvUsage, Column::kKvTokens, Column::kSlowness,
       Column::kShortage, Column::kOthersTokens, Column::kOthersUnstarted, Column::kOthersDecoding},
      ScoreKind::kTokens,
      create_externality_cost_scorer};
}

}  // namespace fairlead::scheduling
