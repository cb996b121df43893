// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/kv_cache_utilization_scorer.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

class KvCacheUtilizationScorer final : public Scorer {
 public:
  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out[i] = 1.0F - std::clamp(table.kv_usage[rows[i]], 0.0F, 1.0F);
    }
  }
};

std::unique_ptr<Scorer> create_kv_cache_utilization_scorer(config::Section& /*parameters*/) {
  return std::make_unique<KvCacheUtilizationScorer>();
}

}  // namespace

ScorerSpec kv_cache_utilization_scorer_spec() {
  return {"kv-cache-utilization-scorer",
          Stability::kBeta,
          {Column::kKvUsage},
          ScoreKind::kUnit,
          create_kv_cache_utilization_scorer};
}

}  // namespace fairlead::scheduling
