// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/prefix_cache_affinity_filter.h"

#include <algorithm>
#include <limits>

namespace fairlead::scheduling {
namespace {

struct Parameters {
  double threshold;
  double exploration;
  double penalty_tokens;  // maxTTFTPenaltyMs expressed in prompt tokens.
};

class PrefixCacheAffinityFilter final : public Filter {
 public:
  explicit PrefixCacheAffinityFilter(Parameters parameters) : parameters_(parameters) {}

  void narrow(const model::InferenceRequest& request, const Candidates& table, Rows& rows,
              DecisionContext& context) const override {
    const double needed = parameters_.threshold * static_cast<double>(request.prompt_tokens);
    const auto warm = [&](std::uint32_t row) {
      return request.prompt_tokens > 0 && static_cast<double>(table.cached_tokens[row]) >= needed;
    };
    float warm_load = std::numeric_limits<float>::max();
    float cold_load = std::numeric_limits<float>::max();
    for (const std::uint32_t row : rows) {
      float& load = warm(row) ? warm_load : cold_load;
      load = std::min(load, table.inflight_tokens[row]);
    }
    const bool any_warm = warm_load < std::numeric_limits<float>::max();
    if (!any_warm || static_cast<double>(warm_load - cold_load) > parameters_.penalty_tokens)
      return;
    if (parameters_.exploration > 0 && context.random.uniform() < parameters_.exploration) return;
    std::erase_if(rows, [&](std::uint32_t row) { return !warm(row); });
  }

 private:
  Parameters parameters_;
};

std::unique_ptr<Filter> create_prefix_cache_affinity_filter(config::Section& parameters) {
  Parameters read{};
  read.threshold = parameters.number("affinityThreshold", 0.80, 0.0, 1.0);
  read.exploration = parameters.number("explorationProbability", 0, 0, 1);
  const double penalty_ms = parameters.number("maxTTFTPenaltyMs", 18000, 0, 1e9);
  const double rate = parameters.number("peakPrefillThroughput", 15928, 1, 1e9);
  read.penalty_tokens = penalty_ms / 1000 * rate;
  parameters.choice("ttftSource", "prefillThroughput", {"prefillThroughput"});
  for (const char* key : {"prefixMatchInfoProducerName", "inFlightLoadProducerName",
                          "latencyPredictionInfoProducerName"}) {
    parameters.text(key, "");
  }
  return std::make_unique<PrefixCacheAffinityFilter>(read);
}

}  // namespace

FilterSpec prefix_cache_affinity_filter_spec() {
  return {"prefix-cache-affinity-filter",
          Stability::kBeta,
          {Column::kCachedTokens, Column::kInFlightTokens},
          create_prefix_cache_affinity_filter};
}

}  // namespace fairlead::scheduling
