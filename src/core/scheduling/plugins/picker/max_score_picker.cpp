// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/picker/max_score_picker.h"

namespace fairlead::scheduling {
namespace {

class MaxScorePicker final : public Picker {
 public:
  std::size_t pick(std::span<const std::uint32_t>, std::span<const float> totals, const Candidates&,
                   DecisionContext& context) const override {
    std::size_t best = 0;
    std::uint64_t ties = 1;
    for (std::size_t i = 1; i < totals.size(); ++i) {
      if (totals[i] > totals[best]) {
        best = i;
        ties = 1;
      } else if (totals[i] == totals[best] && context.random.below(++ties) == 0) {
        best = i;
      }
    }
    return best;
  }
};

std::unique_ptr<Picker> create(config::Section& parameters) {
  if (parameters.integer("maxNumOfEndpoints", 1, -1000000, 1000000) > 1) {
    parameters.warning("maxNumOfEndpoints",
                       "has no effect: a retry decides anew over the current state");
  }
  return std::make_unique<MaxScorePicker>();
}

}  // namespace

PickerSpec max_score_picker_spec() { return {"max-score-picker", Stability::kBeta, {}, create}; }

}  // namespace fairlead::scheduling
