// SPDX-License-Identifier: Apache-2.0
// RequestMetrics: the metric cells of one worker for requests, whichever front they come through.
// Each worker has cells of its own, which the registry sums, so no two workers write one cache
// line. What is known at start-up is registered there; a (route, code, outcome) or a histogram of a
// route is registered when it first occurs. docs/metrics-gateway.md documents every metric.
// Threads: the worker's thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/metrics.h"
#include "base/time.h"
#include "core/admission/overload.h"
#include "core/codec/sse_scanner.h"
#include "core/codec/trace_context.h"
#include "core/exchange/route.h"
#include "core/model/request.h"
#include "core/picker/picker.h"
#include "core/scheduling/profile.h"

namespace fairlead::router {

// What is known of the endpoint that a previous_response_id asks for.
enum class Holder : std::uint8_t { kFound, kUnknown, kGone };
inline constexpr std::size_t kHolderCount = 3;
std::string_view to_string(Holder holder);

// One counter for each value of an enum, from 0 on.
template <class Enum, std::size_t N>
void register_all(MetricRegistry& registry, std::string_view name, std::string_view help,
                  std::string_view label, std::array<Counter*, N>& cells) {
  for (std::size_t i = 0; i < N; ++i) {
    const std::string_view value = to_string(static_cast<Enum>(i));
    if (value == "none") continue;  // Never counted.
    cells[i] = &registry.counter(name, help, {{std::string(label), std::string(value)}});
  }
}

class RequestMetrics {
 public:
  explicit RequestMetrics(MetricRegistry& registry);

  void on_begin();
  void on_end(exchange::Route route, int status, model::Outcome outcome, Duration total);
  void on_first_token(model::Streaming streaming, Duration after);
  void on_token_interval(double mean_seconds);
  void on_decision(const picker::Decision& decision);
  void on_upstream_failure(model::UpstreamFailure failure);
  void on_reply(model::ReplyReason reason);
  void on_previous_response(Holder holder) {
    previous_responses_[static_cast<std::size_t>(holder)]->add();
  }
  void on_usage(const codec::Usage& usage);
  void on_trace(const codec::TraceContext& context);
  void on_traced_request() { traced_requests_->add(); }
  void on_overload(admission::OverloadAction action) { count(action, 1); }

  std::uint64_t in_flight() const { return in_flight_; }

 protected:
  ~RequestMetrics() = default;
  void count(admission::OverloadAction action, std::uint64_t times) {
    overload_[static_cast<std::size_t>(action)]->add(times);
  }

  MetricRegistry& registry_;

 private:
  void add_tracing();

  std::uint64_t in_flight_ = 0;
  Gauge* in_flight_gauge_;
  std::unordered_map<std::uint32_t, Counter*> requests_;  // By route, code and outcome.
  std::array<Histogram*, exchange::kRouteCount> duration_{};
  std::array<Histogram*, 2> first_token_{};  // By model::Streaming.
  Histogram* token_interval_;
  std::array<Counter*, scheduling::kReasonCount> decisions_{};
  std::array<Counter*, model::kUpstreamFailureCount> failures_{};
  std::array<Counter*, model::kReplyReasonCount> replies_{};
  std::array<Counter*, kHolderCount> previous_responses_{};
  std::array<Counter*, admission::kOverloadActionCount> overload_{};
  Counter* predicted_cached_tokens_;
  Counter* client_disconnects_;
  Counter* prompt_tokens_;
  Counter* cached_tokens_;
  Counter* output_tokens_;
  Counter* traced_requests_;
  Counter* invalid_trace_parents_;
  Counter* invalid_trace_states_;
};

}  // namespace fairlead::router
