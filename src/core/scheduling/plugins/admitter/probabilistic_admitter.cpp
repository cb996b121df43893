// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/admitter/probabilistic_admitter.h"

#include <algorithm>
#include <cmath>

namespace fairlead::scheduling {
namespace {

struct Curve {
  double waiting = 0;
  double kv_usage = 0;
  double power = 0;
  double k = 0;
};

class ProbabilisticAdmitter final : public Admitter {
 public:
  explicit ProbabilisticAdmitter(Curve curve) : curve_(curve) {}

  Admission admit(const model::InferenceRequest& request, const Candidates& table,
                  Random& random) const override {
    if (request.priority >= 0) return Admission::kAdmitted;
    double sum = 0;
    for (std::size_t row = 0; row < table.size(); ++row) sum += load(table, row);
    const double mean = sum / static_cast<double>(table.size());
    const double refused = std::min(curve_.k * std::pow(mean, curve_.power), 1.0);
    return random.uniform() < refused ? Admission::kSaturated : Admission::kAdmitted;
  }

 private:
  double load(const Candidates& table, std::size_t row) const {
    if (table.metrics_age[row] >= kMetricsAgeMax) return 1;
    return std::max(static_cast<double>(table.waiting[row]) / curve_.waiting,
                    static_cast<double>(table.kv_usage[row]) / curve_.kv_usage);
  }

  Curve curve_;
};

std::unique_ptr<Admitter> create_probabilistic_admitter(config::Section& parameters) {
  const auto positive = [&](std::string_view key, double fallback) {
    const double value = parameters.number(key, fallback, 0, 1e9);
    if (value == 0) parameters.error(key, "must be above 0");
    return value;
  };
  return std::make_unique<ProbabilisticAdmitter>(Curve{positive("queueDepthThreshold", 5),
                                                       positive("kvCacheUtilThreshold", 0.8),
                                                       positive("power", 5), positive("k", 300)});
}

}  // namespace

AdmitterSpec probabilistic_admitter_spec() {
  return {"probabilistic-admitter",
          Stability::kBeta,
          {Column::kWaiting, Column::kKvUsage, Column::kMetricsAge, Column::kPriority},
          AdmitsWhen::kDeclared,
          create_probabilistic_admitter};
}

}  // namespace fairlead::scheduling
