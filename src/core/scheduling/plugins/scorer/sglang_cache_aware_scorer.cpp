// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/scorer/sglang_cache_aware_scorer.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

struct Thresholds {
  double cache;
  float balance_abs;
  float balance_rel;
};

class SglangCacheAwareScorer final : public Scorer {
 public:
  explicit SglangCacheAwareScorer(Thresholds thresholds) : thresholds_(thresholds) {}

  void score(const model::InferenceRequest& request, const Candidates& table,
             std::span<const std::uint32_t> rows, std::span<float> out) const override {
    if (is_unbalanced(table.inflight_requests, rows)) {
      prefer_least(table.inflight_requests, rows, out);
      return;
    }
    const auto prompt = static_cast<double>(request.prompt_tokens);
    const auto longest = static_cast<double>(most(table.cached_tokens, rows));
    if (longest > thresholds_.cache * prompt) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        out[i] = static_cast<float>(
            std::min(1.0, static_cast<double>(table.cached_tokens[rows[i]]) / prompt));
      }
    } else {
      prefer_least(table.placed_tokens, rows, out);
    }
  }

 private:
  static float most(const std::vector<float>& column, std::span<const std::uint32_t> rows) {
    float top = 0;
    for (const std::uint32_t row : rows) top = std::max(top, column[row]);
    return top;
  }

  static void prefer_least(const std::vector<float>& column, std::span<const std::uint32_t> rows,
                           std::span<float> out) {
    const float top = most(column, rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out[i] = top > 0 ? (top - column[rows[i]]) / top : 1.0F;
    }
  }

  bool is_unbalanced(const std::vector<float>& inflight,
                     std::span<const std::uint32_t> rows) const {
    const float max = most(inflight, rows);
    float min = max;
    for (const std::uint32_t row : rows) min = std::min(min, inflight[row]);
    return max - min > thresholds_.balance_abs && max > thresholds_.balance_rel * min;
  }

  Thresholds thresholds_;
};

std::unique_ptr<Scorer> create_sglang_cache_aware_scorer(config::Section& parameters) {
  Thresholds read{};
  read.cache = parameters.number("cacheThreshold", 0.3, 0, 1);
  read.balance_abs = static_cast<float>(parameters.number("balanceAbsThreshold", 64, 0, 1e6));
  read.balance_rel = static_cast<float>(parameters.number("balanceRelThreshold", 1.5, 1, 1e6));
  return std::make_unique<SglangCacheAwareScorer>(read);
}

}  // namespace

ScorerSpec sglang_cache_aware_scorer_spec() {
  return {"sglang-cache-aware-scorer",
          Stability::kAlpha,
          {Column::kInFlightRequests, Column::kCachedTokens, Column::kPlacedTokens},
          ScoreKind::kUnit,
          create_sglang_cache_aware_scorer};
}

}  // namespace fairlead::scheduling
