// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/no_hit_lru_scorer.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

class NoHitLruScorer final : public Scorer {
 public:
  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    const bool hit =
        std::ranges::any_of(rows, [&](std::uint32_t row) { return table.cached_tokens[row] > 0; });
    if (hit || rows.size() == 1) {
      std::ranges::fill(out, hit ? 0.5F : 1.0F);
      return;
    }
    // Ranks are over the whole table; count only rows that are still candidates.
    const auto last = static_cast<float>(rows.size() - 1);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const float order = table.cold_order[rows[i]];
      const auto before = std::ranges::count_if(
          rows, [&](std::uint32_t row) { return table.cold_order[row] < order; });
      out[i] = 1.0F - static_cast<float>(before) / last;
    }
  }
};

std::unique_ptr<Scorer> create_no_hit_lru_scorer(config::Section& parameters) {
  parameters.integer("lruSize", 1024, 1, 1000000);
  for (const char* key : {"prefixMatchInfoProducerName", "prefixPluginType", "prefixPluginName"}) {
    parameters.text(key, "");
  }
  return std::make_unique<NoHitLruScorer>();
}

}  // namespace

ScorerSpec no_hit_lru_scorer_spec() {
  return {"no-hit-lru-scorer",
          Stability::kBeta,
          {Column::kCachedTokens, Column::kColdOrder},
          ScoreKind::kUnit,
          create_no_hit_lru_scorer};
}

}  // namespace fairlead::scheduling
