// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/picker/power_of_two_picker.h"

namespace fairlead::scheduling {
namespace {

class PowerOfTwoPicker final : public Picker {
 public:
  Ranking pick(std::span<const std::uint32_t> rows, std::span<const float> totals,
               const Candidates&, DecisionContext& context) const override {
    const std::size_t first = context.random.below(rows.size());
    if (rows.size() == 1) return Ranking(first);
    // Any but the first: those from it on move up by one.
    std::size_t second = context.random.below(rows.size() - 1);
    if (second >= first) ++second;
    return Ranking(totals[second] > totals[first] ? second : first);
  }
};

std::unique_ptr<Picker> create_power_of_two_picker(config::Section&) {
  return std::make_unique<PowerOfTwoPicker>();
}

}  // namespace

PickerSpec power_of_two_picker_spec() {
  return {"power-of-two-picker", Stability::kAlpha, {}, create_power_of_two_picker};
}

}  // namespace fairlead::scheduling
