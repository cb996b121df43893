// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/picker/round_robin_picker.h"

namespace fairlead::scheduling {
namespace {

class RoundRobinPicker final : public Picker {
 public:
  Ranking pick(std::span<const std::uint32_t> rows, std::span<const float>, const Candidates&,
               DecisionContext& context) const override {
    return Ranking(context.ledger.next_turn() % rows.size());
  }
};

std::unique_ptr<Picker> create_round_robin_picker(config::Section& /*parameters*/) {
  return std::make_unique<RoundRobinPicker>();
}

}  // namespace

PickerSpec round_robin_picker_spec() {
  return {"round-robin-picker", Stability::kBeta, {}, create_round_robin_picker};
}

}  // namespace fairlead::scheduling
