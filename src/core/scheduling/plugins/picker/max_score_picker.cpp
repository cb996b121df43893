// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/picker/max_score_picker.h"

#include "core/scheduling/plugins/picker/max_endpoints.h"

namespace fairlead::scheduling {
namespace {

std::size_t pick_one(std::span<const float> totals, Random& random) {
  std::size_t best = 0;
  std::uint64_t ties = 1;
  for (std::size_t i = 1; i < totals.size(); ++i) {
    if (totals[i] > totals[best]) {
      best = i;
      ties = 1;
    } else if (totals[i] == totals[best] && random.below(++ties) == 0) {
      best = i;
    }
  }
  return best;
}

class MaxScorePicker final : public Picker {
 public:
  explicit MaxScorePicker(std::size_t wanted) : wanted_(wanted) {}

  Ranking pick(std::span<const std::uint32_t>, std::span<const float> totals, const Candidates&,
               DecisionContext& context) const override {
    if (wanted_ == 1) return Ranking(pick_one(totals, context.random));
    Best best(wanted_);
    for (std::size_t i = 0; i < totals.size(); ++i) {
      best.offer(i, static_cast<double>(totals[i]), context.random.next());
    }
    return best.ranking();
  }

 private:
  std::size_t wanted_;
};

std::unique_ptr<Picker> create_max_score_picker(config::Section& parameters) {
  return std::make_unique<MaxScorePicker>(read_max_endpoints(parameters));
}

}  // namespace

PickerSpec max_score_picker_spec() {
  return {"max-score-picker", Stability::kBeta, {}, create_max_score_picker};
}

}  // namespace fairlead::scheduling
