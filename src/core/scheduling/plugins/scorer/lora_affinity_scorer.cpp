// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/lora_affinity_scorer.h"

namespace fairlead::scheduling {
namespace {

float score_of(float adapter, float room) {
  if (adapter == kAdapterActive) return 1.0F;
  if (room > 0) return 0.8F;
  return adapter == kAdapterWaiting ? 0.6F : 0.0F;
}

class LoraAffinityScorer final : public Scorer {
 public:
  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out[i] = score_of(table.adapter[rows[i]], table.adapter_room[rows[i]]);
    }
  }
};

std::unique_ptr<Scorer> create_lora_affinity_scorer(config::Section& /*parameters*/) {
  return std::make_unique<LoraAffinityScorer>();
}

}  // namespace

ScorerSpec lora_affinity_scorer_spec() {
  return {"lora-affinity-scorer",
          Stability::kBeta,
          {Column::kAdapter, Column::kAdapterRoom},
          ScoreKind::kUnit,
          create_lora_affinity_scorer};
}

}  // namespace fairlead::scheduling
