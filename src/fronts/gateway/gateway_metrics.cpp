// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/gateway_metrics.h"

#include <string>

#include "core/scheduling/profile.h"

namespace fairlead::gateway {
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

std::string_view to_string(TunnelEnd end) {
  switch (end) {
    case TunnelEnd::kClosed:
      return "closed";
    case TunnelEnd::kClientGone:
      return "client_gone";
    case TunnelEnd::kEngineFailed:
      return "engine_failed";
    case TunnelEnd::kIdle:
      return "idle";
    case TunnelEnd::kExpired:
      return "expired";
    case TunnelEnd::kDrained:
      return "drained";
  }
  return "unknown";
}

GatewayMetrics::GatewayMetrics(MetricRegistry& registry)
    : registry_(registry), client_tls_(registry, "client"), engine_tls_(registry, "engine") {
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
  register_all<net::RefusalKind>(registry, "fairlead_refusals_total",
                                 "Requests refused before they were whole, by kind.", "kind",
                                 refusals_);
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
  retries_ = &registry.counter("fairlead_retries_total", "Requests tried again elsewhere.");
  stale_retries_ =
      &registry.counter("fairlead_stale_connection_retries_total",
                        "Requests sent again because a pooled connection had died unseen.");
  budget_exhausted_ = &registry.counter("fairlead_retry_budget_exhausted_total",
                                        "Retries not made because the retry budget was spent.");
  beyond_retry_buffer_ =
      &registry.counter("fairlead_requests_beyond_retry_buffer_total",
                        "Failed tries not repeated because the body exceeds the retry buffer.");
  const auto tokens = [&](const char* kind) {
    return &registry.counter("fairlead_usage_tokens_total",
                             "Tokens reported by engines in usage objects.", {{"kind", kind}});
  };
  prompt_tokens_ = tokens("prompt");
  cached_tokens_ = tokens("cached");
  output_tokens_ = tokens("output");
  add_sockets();
  add_http2();
  add_tracing();
  add_tunnels();
}

void GatewayMetrics::add_tracing() {
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

void GatewayMetrics::add_tunnels() {
  tunnels_open_ = &registry_.gauge("fairlead_tunnels_open", "WebSockets open now.");
  register_all<TunnelEnd>(registry_, "fairlead_tunnels_total", "Ended WebSockets, by how.", "end",
                          tunnel_ends_);
  const auto bytes = [&](const char* direction) {
    return &registry_.counter("fairlead_tunnel_bytes_total",
                              "Bytes through WebSockets, counted when they end.",
                              {{"direction", direction}});
  };
  tunnel_bytes_from_client_ = bytes("from_client");
  tunnel_bytes_from_engine_ = bytes("from_engine");
}

void GatewayMetrics::on_tunnel_open() { tunnels_open_->set(static_cast<double>(++tunnels_)); }

void GatewayMetrics::on_tunnel_end(TunnelEnd end, std::uint64_t from_client,
                                   std::uint64_t from_engine) {
  tunnels_open_->set(static_cast<double>(--tunnels_));
  tunnel_ends_[static_cast<std::size_t>(end)]->add();
  tunnel_bytes_from_client_->add(from_client);
  tunnel_bytes_from_engine_->add(from_engine);
}

void GatewayMetrics::add_http2() {
  http2_connections_ = &registry_.counter("fairlead_http2_connections_total",
                                          "Client connections that spoke HTTP/2.");
  http2_resets_ =
      &registry_.counter("fairlead_http2_resets_total", "HTTP/2 streams that clients reset.");
  http2_stream_errors_ = &registry_.counter("fairlead_http2_stream_errors_total",
                                            "HTTP/2 frames of clients that broke a rule.");
  register_all<net::Http2Flood>(registry_, "fairlead_http2_floods_total",
                                "HTTP/2 connections closed for a flood, by its kind.", "kind",
                                http2_floods_);
}

void GatewayMetrics::add_sockets() {
  connections_ = &registry_.gauge("fairlead_client_connections", "Open client connections.");
  accepted_ = &registry_.counter("fairlead_client_connections_accepted_total",
                                 "Client connections accepted.");
  accept_failures_ =
      &registry_.counter("fairlead_client_accept_failures_total",
                         "Connections not accepted for want of descriptors or memory.");
  write_timeouts_ = &registry_.counter("fairlead_client_write_timeouts_total",
                                       "Clients cut off because they did not read their answer.");
  const auto bytes = [&](const char* direction) {
    return &registry_.counter("fairlead_client_bytes_total",
                              "Bytes exchanged with clients, counted when a request ends.",
                              {{"direction", direction}});
  };
  bytes_received_ = bytes("received");
  bytes_sent_ = bytes("sent");
  stream_pauses_ = &registry_.counter("fairlead_stream_pauses_total",
                                      "Times that a worker waited for stream pieces to gather.");
  upstream_connections_ =
      &registry_.gauge("fairlead_upstream_connections", "Open connections to endpoints.");
  upstream_idle_ =
      &registry_.gauge("fairlead_upstream_idle_connections", "Those of them without a request.");
  upstream_connects_ =
      &registry_.counter("fairlead_upstream_connects_total", "Connections opened to endpoints.");
  truncated_requests_ = &registry_.counter("fairlead_truncated_requests_total",
                                           "Clients that left in the middle of sending a request.");
  upstream_reuses_ = &registry_.counter("fairlead_upstream_reuses_total",
                                        "Requests sent on a connection that was open already.");
}

void GatewayMetrics::on_begin() { in_flight_gauge_->set(static_cast<double>(++in_flight_)); }

void GatewayMetrics::on_end(exchange::Route route, int status, model::Outcome outcome,
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

void GatewayMetrics::on_first_token(model::Streaming streaming, Duration after) {
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

void GatewayMetrics::on_token_interval(double mean_seconds) {
  token_interval_->observe(mean_seconds);
}

void GatewayMetrics::on_decision(const picker::Decision& decision) {
  decisions_[static_cast<std::size_t>(decision.reason)]->add();
  predicted_cached_tokens_->add(decision.cached_tokens);
}

void GatewayMetrics::on_upstream_failure(model::UpstreamFailure failure) {
  failures_[static_cast<std::size_t>(failure)]->add();
}

void GatewayMetrics::on_reply(model::ReplyReason reason) {
  replies_[static_cast<std::size_t>(reason)]->add();
}

void GatewayMetrics::on_refusal(net::RefusalKind kind, model::ReplyReason reason) {
  refusals_[static_cast<std::size_t>(kind)]->add();
  on_reply(reason);
}

void GatewayMetrics::on_usage(const codec::Usage& usage) {
  prompt_tokens_->add(usage.prompt_tokens.value_or(0));
  cached_tokens_->add(usage.cached_tokens.value_or(0));
  output_tokens_->add(usage.completion_tokens.value_or(0));
}

void GatewayMetrics::on_trace(const codec::TraceContext& context) {
  if (context.parent_header == codec::TraceHeader::kInvalid) invalid_trace_parents_->add();
  if (context.state_header == codec::TraceHeader::kInvalid) invalid_trace_states_->add();
}

void GatewayMetrics::set_sockets(const SocketFigures& now) {
  connections_->set(static_cast<double>(now.connections));
  upstream_connections_->set(static_cast<double>(now.upstream_connections));
  upstream_idle_->set(static_cast<double>(now.upstream_idle));
  accepted_->add(now.accepted - sockets_.accepted);
  accept_failures_->add(now.accept_failures - sockets_.accept_failures);
  bytes_received_->add(now.bytes_received - sockets_.bytes_received);
  bytes_sent_->add(now.bytes_sent - sockets_.bytes_sent);
  upstream_connects_->add(now.upstream_connects - sockets_.upstream_connects);
  upstream_reuses_->add(now.upstream_reuses - sockets_.upstream_reuses);
  truncated_requests_->add(now.truncated_requests - sockets_.truncated_requests);
  stream_pauses_->add(now.stream_pauses - sockets_.stream_pauses);
  for (std::size_t i = 0; i < malformed_.size(); ++i) {
    if (now.malformed[i] == sockets_.malformed[i]) continue;
    if (malformed_[i] == nullptr) {
      const std::string_view name = codec::to_string(static_cast<codec::Http1Error>(i));
      malformed_[i] = &registry_.counter("fairlead_malformed_requests_total",
                                         "Requests refused as unacceptable HTTP, by what is wrong.",
                                         {{"error", std::string(name)}});
    }
    malformed_[i]->add(now.malformed[i] - sockets_.malformed[i]);
  }
  http2_connections_->add(now.http2_connections - sockets_.http2_connections);
  http2_resets_->add(now.http2_resets - sockets_.http2_resets);
  http2_stream_errors_->add(now.http2_stream_errors - sockets_.http2_stream_errors);
  for (std::size_t i = 0; i < http2_floods_.size(); ++i) {
    http2_floods_[i]->add(now.http2_floods[i] - sockets_.http2_floods[i]);
  }
  write_timeouts_->add(now.write_timeouts - sockets_.write_timeouts);
  overload_[static_cast<std::size_t>(admission::OverloadAction::kDropIdle)]->add(
      now.idle_dropped - sockets_.idle_dropped);
  overload_[static_cast<std::size_t>(admission::OverloadAction::kStopKeepalive)]->add(
      now.keep_alives_ended - sockets_.keep_alives_ended);
  sockets_ = now;
}

void GatewayMetrics::set_tls(const net::TlsFigures& clients, const net::TlsFigures& engines) {
  client_tls_.set(clients);
  engine_tls_.set(engines);
}

}  // namespace fairlead::gateway
