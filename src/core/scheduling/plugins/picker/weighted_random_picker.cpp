// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/picker/weighted_random_picker.h"

#include <cmath>

namespace fairlead::scheduling {
namespace {

class WeightedRandomPicker final : public Picker {
 public:
  std::size_t pick(std::span<const std::uint32_t> rows, std::span<const float> totals,
                   const Candidates&, DecisionContext& context) const override {
    std::size_t best = 0;
    double best_key = 0;
    for (std::size_t i = 0; i < totals.size(); ++i) {
      if (!(totals[i] > 0)) continue;
      const double key = std::pow(context.random.uniform(), 1.0 / static_cast<double>(totals[i]));
      if (key > best_key) {
        best_key = key;
        best = i;
      }
    }
    return best_key > 0 ? best : context.random.below(rows.size());
  }
};

std::unique_ptr<Picker> create(config::Section& parameters) {
  if (parameters.integer("maxNumOfEndpoints", 1, -1000000, 1000000) > 1) {
    parameters.warning("maxNumOfEndpoints",
                       "has no effect: a retry decides anew over the current state");
  }
  return std::make_unique<WeightedRandomPicker>();
}

}  // namespace

PickerSpec weighted_random_picker_spec() {
  return {"weighted-random-picker", Stability::kBeta, {}, create};
}

}  // namespace fairlead::scheduling
