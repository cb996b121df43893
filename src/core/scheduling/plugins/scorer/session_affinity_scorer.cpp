// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/session_affinity_scorer.h"

namespace fairlead::scheduling {
namespace {

class SessionAffinityScorer final : public Scorer {
 public:
  void score(const model::InferenceRequest& request, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    if (request.session.empty()) return;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out[i] = table.endpoint[rows[i]]->name == request.session ? 1.0F : 0.0F;
    }
  }
};

std::unique_ptr<Scorer> create_session_affinity_scorer(config::Section& parameters) {
  parameters.choice("strategy", "encoded_endpoint_header", {"encoded_endpoint_header"});
  return std::make_unique<SessionAffinityScorer>();
}

}  // namespace

ScorerSpec session_affinity_scorer_spec() {
  return {"session-affinity-scorer",
          Stability::kAlpha,
          {},
          ScoreKind::kUnit,
          create_session_affinity_scorer};
}

}  // namespace fairlead::scheduling
