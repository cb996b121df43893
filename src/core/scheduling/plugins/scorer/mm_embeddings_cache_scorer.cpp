// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/mm_embeddings_cache_scorer.h"

namespace fairlead::scheduling {
namespace {

class MmEmbeddingsCacheScorer final : public Scorer {
 public:
  void score(const model::InferenceRequest&, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    for (std::size_t i = 0; i < rows.size(); ++i) out[i] = table.media_cached[rows[i]];
  }
};

std::unique_ptr<Scorer> create_mm_embeddings_cache_scorer(config::Section& parameters) {
  parameters.text("producerName", "");
  return std::make_unique<MmEmbeddingsCacheScorer>();
}

}  // namespace

ScorerSpec mm_embeddings_cache_scorer_spec() {
  return {"mm-embeddings-cache-scorer",
          Stability::kBeta,
          {Column::kMediaCached},
          ScoreKind::kUnit,
          create_mm_embeddings_cache_scorer};
}

}  // namespace fairlead::scheduling
