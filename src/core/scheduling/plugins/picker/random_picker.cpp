// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/picker/random_picker.h"

#include "core/scheduling/plugins/picker/max_endpoints.h"

namespace fairlead::scheduling {
namespace {

class RandomPicker final : public Picker {
 public:
  explicit RandomPicker(std::size_t wanted) : wanted_(wanted) {}

  Ranking pick(std::span<const std::uint32_t> rows, std::span<const float>, const Candidates&,
               DecisionContext& context) const override {
    if (wanted_ == 1) return Ranking(context.random.below(rows.size()));
    Best best(wanted_);
    for (std::size_t i = 0; i < rows.size(); ++i) best.offer(i, 0, context.random.next());
    return best.ranking();
  }

 private:
  std::size_t wanted_;
};

std::unique_ptr<Picker> create_random_picker(config::Section& parameters) {
  return std::make_unique<RandomPicker>(read_max_endpoints(parameters));
}

}  // namespace

PickerSpec random_picker_spec() {
  return {"random-picker", Stability::kBeta, {}, create_random_picker};
}

}  // namespace fairlead::scheduling
