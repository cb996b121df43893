// SPDX-License-Identifier: Apache-2.0
// EppMetrics: the metrics of requests under the names of llm-d's Endpoint Picker, so that
// dashboards and autoscalers made for it go on working; each beside the older name that it still
// has there. Names, labels and bucket bounds: docs/metrics-epp.md.
//
// Each worker has cells of its own, which the registry sums. The labels of a request are looked up
// once; the number of their values is bounded (LabelBudget).
// Units: seconds, bytes, tokens. Threads: the worker's thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "base/time.h"
#include "core/codec/sse_scanner.h"
#include "core/model/request.h"
#include "fronts/extproc/label_budget.h"

namespace fairlead::extproc {

// What llm-d calls the error that a request ended with, the value of the label error_code.
std::string_view error_code(model::ReplyReason reason);
inline constexpr std::string_view kModelServerError = "ModelServerError";

struct RequestLabels {
  std::string_view model;     // As the client asked.
  std::string_view target;    // As the engine gets it.
  std::string_view fairness;  // Whose request it is.
  std::int32_t priority = 0;
};

// What is known of a request when it has ended.
struct RequestEnd {
  Duration total{};
  std::uint64_t response_bytes = 0;
  const codec::Usage* usage = nullptr;  // Null: the engine told none.
  model::Streaming streaming = model::Streaming::kWhole;
  bool answered = false;  // By an engine, to its end.
};

// The cells of one set of labels.
class EppCells {
 public:
  EppCells(MetricRegistry& registry, const RequestLabels& labels);

  void on_begin(std::uint64_t body_bytes);
  void on_dispatched();
  void on_first_token(model::Streaming streaming, Duration after);
  void on_token_gap(Duration gap) { gap_->observe(to_seconds(gap)); }
  // `first_token`: nothing when none was seen.
  void on_end(const RequestEnd& end, std::optional<Duration> first_token);
  // `code` is of error_code(), or kModelServerError.
  void on_error(std::string_view code);
  // Undoes on_dispatched().
  void on_left();

 private:
  struct Pair {
    Histogram* now = nullptr;
    Histogram* before = nullptr;  // Under its older name.
    void observe(double value) const;
  };
  Pair pair(std::string_view name, std::string_view before, std::string_view help,
            std::span<const double> bounds);
  Labels with(std::string_view name, std::string_view value) const;
  Labels named() const;

  MetricRegistry& registry_;
  Labels labels_;
  Counter* requests_;
  Counter* requests_before_;
  Gauge* running_gauge_;
  Gauge* running_gauge_before_;
  std::uint64_t running_ = 0;
  Pair duration_;
  Pair request_bytes_;
  Pair response_bytes_;
  Pair input_tokens_;
  Pair output_tokens_;
  Pair cached_tokens_;
  Pair time_per_token_;
  std::array<Histogram*, 2> first_token_{};  // By model::Streaming.
  Histogram* streamed_time_per_token_;
  Histogram* gap_;
  std::map<std::string, std::array<Counter*, 2>, std::less<>> errors_;
};

// Of one worker; what comes beyond is told apart by its priority alone.
inline constexpr std::size_t kLabelSetsMax = 300;

class EppMetrics {
 public:
  // The budgets are shared by all workers.
  EppMetrics(MetricRegistry& registry, LabelBudget& models, LabelBudget& fairness);

  // Stays valid as long as this object.
  EppCells& cells(const RequestLabels& labels);

 private:
  MetricRegistry& registry_;
  LabelValues models_;
  LabelValues fairness_;
  std::string key_;  // Scratch.
  std::map<std::string, std::unique_ptr<EppCells>, std::less<>> cells_;
};

}  // namespace fairlead::extproc
