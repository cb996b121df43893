// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/utilization_detector.h"

#include <algorithm>

namespace fairlead::scheduling {
namespace {

struct Thresholds {
  double waiting = 0;
  double kv_usage = 0;
  double headroom = 0;
  float age_seconds = 0;

  bool is_stale(const Candidates& table, std::uint32_t row) const {
    return table.metrics_age[row] > age_seconds;
  }
  double load(const Candidates& table, std::uint32_t row) const {
    if (is_stale(table, row)) return 1;
    return std::max(static_cast<double>(table.waiting[row]) / waiting,
                    static_cast<double>(table.kv_usage[row]) / kv_usage);
  }
};

class UtilizationDetectorFilter final : public Filter {
 public:
  explicit UtilizationDetectorFilter(Thresholds thresholds) : thresholds_(thresholds) {}

  void narrow(const model::InferenceRequest&, const Candidates& table, Rows& rows,
              DecisionContext&) const override {
    // As the columns are kept, so that a figure equal to its bound is.
    const auto waiting = static_cast<float>(thresholds_.waiting * (1 + thresholds_.headroom));
    const auto kv_usage = static_cast<float>(thresholds_.kv_usage * (1 + thresholds_.headroom));
    const auto has_room = [&](std::uint32_t row) {
      return !thresholds_.is_stale(table, row) && table.waiting[row] < waiting &&
             table.kv_usage[row] < kv_usage;
    };
    if (std::ranges::none_of(rows, has_room)) return;
    std::erase_if(rows, [&](std::uint32_t row) { return !has_room(row); });
  }

 private:
  Thresholds thresholds_;
};

class UtilizationDetectorAdmitter final : public Admitter {
 public:
  explicit UtilizationDetectorAdmitter(Thresholds thresholds) : thresholds_(thresholds) {}

  Admission admit(const model::InferenceRequest& request, const Candidates& table,
                  Random&) const override {
    if (request.priority >= 0) return Admission::kAdmitted;
    double sum = 0;
    for (std::uint32_t row = 0; row < table.size(); ++row) {
      sum += thresholds_.load(table, row);
    }
    return sum >= static_cast<double>(table.size()) ? Admission::kSaturated : Admission::kAdmitted;
  }

 private:
  Thresholds thresholds_;
};

Thresholds read(config::Section& parameters) {
  Thresholds read;
  const auto positive = [&](std::string_view key, double fallback, double max) {
    const double value = parameters.number(key, fallback, 0, max);
    if (value == 0) parameters.error(key, "must be above 0");
    return value;
  };
  read.waiting = positive("queueDepthThreshold", 5, 1e9);
  read.kv_usage = positive("kvCacheUtilThreshold", 0.8, 1);
  read.headroom = parameters.number("headroom", 0, 0, 1e6);
  const Duration age =
      parameters.duration("metricsStalenessThreshold", std::chrono::milliseconds(200),
                          std::chrono::nanoseconds(1), std::chrono::hours(24));
  read.age_seconds = static_cast<float>(to_seconds(age));
  return read;
}

std::unique_ptr<Filter> create_filter(config::Section& parameters) {
  return std::make_unique<UtilizationDetectorFilter>(read(parameters));
}

std::unique_ptr<Admitter> create_admitter(config::Section& parameters) {
  return std::make_unique<UtilizationDetectorAdmitter>(read(parameters));
}

constexpr std::string_view kType = "utilization-detector";
constexpr Columns kReads = {Column::kWaiting, Column::kKvUsage, Column::kMetricsAge};

}  // namespace

FilterSpec utilization_detector_filter_spec() {
  return {kType, Stability::kBeta, kReads, create_filter};
}

AdmitterSpec utilization_detector_admitter_spec() {
  return {kType, Stability::kBeta, kReads | Columns{Column::kPriority}, AdmitsWhen::kNamedDetector,
          create_admitter};
}

}  // namespace fairlead::scheduling
