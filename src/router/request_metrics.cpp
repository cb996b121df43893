// SPDX-License-Identifier: Apache-2.0
#include "router/request_metrics.h"

namespace fairlead::router {
namespace {

// Seconds. Answers last from a cached word to an hour's reasoning.
constexpr std::array kDurationBounds = {0.005, 0.01, 0.025, 0.05, 0.1,  0.25, 0.5,  1.0,   2.5,
                                        5.0,   10.0, 25.0,  50.0, 100., 250., 500., 1000., 2500.};
constexpr std::array kFirstTokenBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                          0.15,  0.2,    0.3,   0.5,  0.75,  1.0,  1.5,   2.5,
                                          5.0,   7.5,    10.0,  15.0, 30.0,  60.0, 120.0};

constexpr std::array kTokenIntervalBounds = {0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02,
                                             0.025, 0.03,   0.04,  0.05,   0.06, 0.075, 0.1,
                                             0.15,  0.2,    0.3,   0.5,    1.0,  2.5};

}  // namespace

std::string_view to_string(Holder holder) {
  switch (holder) {
    case Holder::kFound:
      return "found";
    case Holder::kUnknown:
      return "unknown";
    case Holder::kGone:
      return "gone";
  }
  return "unknown";
}

RequestMetrics::RequestMetrics(MetricRegistry& registry) : registry_(registry) {
  in_flight_gauge_ =
      &registry.gauge("fairlead_requests_in_flight", "Requests received whole and not yet ended.");
  token_interval_ =
      &registry.histogram("fairlead_inter_token_seconds",
                          "Mean time between the tokens of a streamed answer, an observation an "
                          "answer.",
                          kTokenIntervalBounds);
  register_all<scheduling::Reason>(registry, "fairlead_decisions_total",
                                   "Endpoint choices, by why the endpoint won.", "reason",
                                   decisions_);
  register_all<model::UpstreamFailure>(registry, "fairlead_upstream_failures_total",
                                       "Failed tries at an endpoint, by kind.", "kind", failures_);
  register_all<model::ReplyReason>(registry, "fairlead_replies_total",
                                   "Requests answered by the router itself, by reason.", "reason",
                                   replies_);
  register_all<Holder>(registry, "fairlead_previous_responses_total",
                       "Requests that continue an answer, by whether its endpoint is known.",
                       "holder", previous_responses_);
  register_all<admission::OverloadAction>(registry, "fairlead_overload_actions_total",
                                          "What an overloaded router did, by action.", "action",
                                          overload_);
  predicted_cached_tokens_ =
      &registry.counter("fairlead_predicted_cached_tokens_total",
                        "Prompt tokens expected to be cached at the chosen endpoint.");
  client_disconnects_ = &registry.counter("fairlead_client_disconnects_total",
                                          "Clients that left before their answer was complete.");
  const auto tokens = [&](const char* kind) {
    return &registry.counter("fairlead_usage_tokens_total",
                             "Tokens reported by engines in usage objects.", {{"kind", kind}});
  };
  prompt_tokens_ = tokens("prompt");
  cached_tokens_ = tokens("cached");
  output_tokens_ = tokens("output");
  add_tracing();
}

void RequestMetrics::add_tracing() {
  traced_requests_ = &registry_.counter("fairlead_traced_requests_total",
                                        "Requests whose trace is sampled, when they began.");
  const auto invalid = [&](std::string_view header) {
    return &registry_.counter("fairlead_trace_context_invalid_total",
                              "Malformed trace context headers, which were ignored.",
                              {{"header", std::string(header)}});
  };
  invalid_trace_parents_ = invalid(codec::kTraceParentHeader);
  invalid_trace_states_ = invalid(codec::kTraceStateHeader);
}

void RequestMetrics::on_trace(const codec::TraceContext& context) {
  if (context.parent_header == codec::TraceHeader::kInvalid) invalid_trace_parents_->add();
  if (context.state_header == codec::TraceHeader::kInvalid) invalid_trace_states_->add();
}

void RequestMetrics::on_begin() { in_flight_gauge_->set(static_cast<double>(++in_flight_)); }

void RequestMetrics::on_end(exchange::Route route, int status, model::Outcome outcome,
                            Duration total) {
  in_flight_gauge_->set(static_cast<double>(--in_flight_));
  if (outcome == model::Outcome::kClientGone) client_disconnects_->add();
  const auto key = static_cast<std::uint32_t>(status) << 16 |
                   static_cast<std::uint32_t>(route) << 8 | static_cast<std::uint32_t>(outcome);
  Counter*& requests = requests_[key];
  if (requests == nullptr) {
    requests = &registry_.counter("fairlead_requests_total",
                                  "Ended requests, by route, status code and outcome.",
                                  {{"route", std::string(exchange::to_string(route))},
                                   {"code", std::to_string(status)},
                                   {"outcome", std::string(model::to_string(outcome))}});
  }
  requests->add();
  Histogram*& duration = duration_[static_cast<std::size_t>(route)];
  if (duration == nullptr) {
    duration =
        &registry_.histogram("fairlead_request_duration_seconds",
                             "From a request's first byte to the last of its answer.",
                             kDurationBounds, {{"route", std::string(exchange::to_string(route))}});
  }
  duration->observe(to_seconds(total));
}

void RequestMetrics::on_first_token(model::Streaming streaming, Duration after) {
  Histogram*& cell = first_token_[static_cast<std::size_t>(streaming)];
  if (cell == nullptr) {
    const bool streamed = streaming == model::Streaming::kStreamed;
    cell = &registry_.histogram("fairlead_time_to_first_token_seconds",
                                "From a request's first byte to its first token; for an answer "
                                "that is not streamed, to its head.",
                                kFirstTokenBounds, {{"stream", streamed ? "true" : "false"}});
  }
  cell->observe(to_seconds(after));
}

void RequestMetrics::on_token_interval(double mean_seconds) {
  token_interval_->observe(mean_seconds);
}

void RequestMetrics::on_decision(const picker::Decision& decision) {
  decisions_[static_cast<std::size_t>(decision.reason)]->add();
  predicted_cached_tokens_->add(decision.cached_tokens);
}

void RequestMetrics::on_upstream_failure(model::UpstreamFailure failure) {
  failures_[static_cast<std::size_t>(failure)]->add();
}

void RequestMetrics::on_reply(model::ReplyReason reason) {
  replies_[static_cast<std::size_t>(reason)]->add();
}

void RequestMetrics::on_usage(const codec::Usage& usage) {
  prompt_tokens_->add(usage.prompt_tokens.value_or(0));
  cached_tokens_->add(usage.cached_tokens.value_or(0));
  output_tokens_->add(usage.completion_tokens.value_or(0));
}

}  // namespace fairlead::router
