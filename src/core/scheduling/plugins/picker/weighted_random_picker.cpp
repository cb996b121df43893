// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/picker/weighted_random_picker.h"

#include <cmath>

#include "core/scheduling/plugins/picker/max_endpoints.h"

namespace fairlead::scheduling {
namespace {

double key_of(float total, Random& random) {
  return total > 0 ? std::pow(random.uniform(), 1.0 / static_cast<double>(total)) : 0;
}

class WeightedRandomPicker final : public Picker {
 public:
  explicit WeightedRandomPicker(std::size_t wanted) : wanted_(wanted) {}

  Ranking pick(std::span<const std::uint32_t>, std::span<const float> totals, const Candidates&,
               DecisionContext& context) const override {
    if (wanted_ == 1) return Ranking(pick_one(totals, context.random));
    Best best(wanted_);
    for (std::size_t i = 0; i < totals.size(); ++i) {
      best.offer(i, key_of(totals[i], context.random), context.random.next());
    }
    return best.ranking();
  }

 private:
  static std::size_t pick_one(std::span<const float> totals, Random& random) {
    std::size_t best = 0;
    double best_key = 0;
    for (std::size_t i = 0; i < totals.size(); ++i) {
      const double key = key_of(totals[i], random);
      if (key > best_key) {
        best_key = key;
        best = i;
      }
    }
    return best_key > 0 ? best : random.below(totals.size());
  }

  std::size_t wanted_;
};

std::unique_ptr<Picker> create_weighted_random_picker(config::Section& parameters) {
  return std::make_unique<WeightedRandomPicker>(read_max_endpoints(parameters));
}

}  // namespace

PickerSpec weighted_random_picker_spec() {
  return {"weighted-random-picker", Stability::kBeta, {}, create_weighted_random_picker};
}

}  // namespace fairlead::scheduling
