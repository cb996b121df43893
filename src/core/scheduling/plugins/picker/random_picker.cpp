// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/picker/random_picker.h"

namespace fairlead::scheduling {
namespace {

class RandomPicker final : public Picker {
 public:
  std::size_t pick(std::span<const std::uint32_t> rows, std::span<const float>, const Candidates&,
                   DecisionContext& context) const override {
    return context.random.below(rows.size());
  }
};

std::unique_ptr<Picker> create(config::Section& parameters) {
  if (parameters.integer("maxNumOfEndpoints", 1, -1000000, 1000000) > 1) {
    parameters.warning("maxNumOfEndpoints",
                       "has no effect: a retry decides anew over the current state");
  }
  return std::make_unique<RandomPicker>();
}

}  // namespace

PickerSpec random_picker_spec() { return {"random-picker", Stability::kBeta, {}, create}; }

}  // namespace fairlead::scheduling
