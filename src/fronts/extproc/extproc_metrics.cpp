// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/extproc_metrics.h"

namespace fairlead::extproc {
namespace {

using router::register_all;

// llm-d's bounds.
constexpr double kStreamBounds[] = {.001, .0025, .005, .01, .025, .05, .1,  .25, .5,
                                    1,    2.5,   5,    10,  30,   60,  120, 300, 600};
constexpr double kProcessingBounds[] = {.0005, .001, .0025, .005, .01, .025, .05, .1,
                                        .25,   .5,   .75,   1,    2.5, 5,    7.5, 10};
constexpr double kResponseBounds[] = {.0001, .0002, .0005, .001, .002, .005, .01, .02,
                                      .05,   .1,    .2,    .5,   1,    2,    5};

}  // namespace

ExtProcMetrics::ExtProcMetrics(MetricRegistry& registry)
    : RequestMetrics(registry), tls_(registry, "envoy") {
  const auto counter = [&](const char* name, const char* help) {
    return &registry.counter(name, help);
  };
  open_ = &registry.gauge("fairlead_extproc_streams", "Running ext_proc streams.");
  epp_open_ = &registry.gauge("llm_d_epp_extproc_streams_inflight", "Running ext_proc streams.");
  lasted_ = &registry.histogram("llm_d_epp_extproc_stream_duration_seconds",
                                "From the first byte of an ext_proc stream to its status.",
                                kStreamBounds);
  processing_ =
      &registry.histogram("llm_d_epp_request_processing_duration_seconds",
                          "From a request's head to the decision about it.", kProcessingBounds);
  response_processing_ =
      &registry.histogram("llm_d_epp_response_processing_duration_seconds",
                          "Time that the messages of an answer took here.", kResponseBounds);
  register_all<exchange::ExtProcFault>(registry, "fairlead_extproc_faults_total",
                                       "Messages of Envoy that break its protocol, by kind.",
                                       "kind", faults_);
  register_all<net::GrpcGone>(registry, "fairlead_grpc_calls_gone_total",
                              "gRPC calls that ended without a status of ours, by how.", "how",
                              gone_);
  register_all<net::GrpcRefusal>(registry, "fairlead_grpc_refusals_total",
                                 "gRPC calls, messages and connections refused, by kind.", "kind",
                                 refusals_);
  register_all<net::Http2Flood>(registry, "fairlead_http2_floods_total",
                                "HTTP/2 connections closed for a flood, by its kind.", "kind",
                                floods_);
  register_all<net::GrpcStatus>(registry, "fairlead_grpc_calls_finished_total",
                                "gRPC calls of every service that ended with a status, by it.",
                                "code", finished_);
  repeated_ends_ = counter("fairlead_extproc_repeated_ends_total",
                           "Last pieces of a body that Envoy sent twice; passed over.");
  foreign_answers_ = counter("fairlead_extproc_foreign_answers_total",
                             "Answers that began before their request was decided.");
  observed_ = counter("fairlead_extproc_observed_streams_total",
                      "Streams in Envoy's observability mode, where no reply counts.");
  closed_early_ = counter("fairlead_extproc_closed_early_total",
                          "Streams that ended with their request (responseProcessing none).");
  kept_open_ = counter("fairlead_extproc_kept_open_total",
                       "Streams that would have, but the answer had begun, or could have.");
  subsets_too_long_ = counter("fairlead_extproc_subsets_too_long_total",
                              "Subset hints with too many entries, which name nobody.");
  swaps_stopped_ = counter("fairlead_extproc_swaps_stopped_total",
                           "Answers in which the model's name was left as the engine wrote it, "
                           "because renaming made them much longer.");
  rebinds_ = counter("fairlead_extproc_rebinds_total",
                     "Requests that Envoy brought to another endpoint than the first choice.");
  unknown_servers_ = counter("fairlead_extproc_unknown_servers_total",
                             "Reports of Envoy that name an endpoint which is not in the pool.");
  add_connections();
}

void ExtProcMetrics::add_connections() {
  const auto counter = [&](const char* name, const char* help) {
    return &registry_.counter(name, help);
  };
  connections_ = &registry_.gauge("fairlead_grpc_connections", "Open gRPC connections.");
  body_bytes_ = &registry_.gauge("fairlead_extproc_body_bytes", "Request bodies in memory.");
  accepted_ = counter("fairlead_grpc_connections_accepted_total", "gRPC connections accepted.");
  accept_failures_ = counter("fairlead_grpc_accept_failures_total",
                             "Connections not accepted for want of descriptors or memory.");
  const auto messages = [&](const char* direction) {
    return &registry_.counter("fairlead_grpc_messages_total", "gRPC messages.",
                              {{"direction", direction}});
  };
  messages_received_ = messages("received");
  messages_sent_ = messages("sent");
  const auto bytes = [&](const char* direction) {
    return &registry_.counter("fairlead_grpc_bytes_total",
                              "Bytes of gRPC connections, counted when a call ends.",
                              {{"direction", direction}});
  };
  bytes_received_ = bytes("received");
  bytes_sent_ = bytes("sent");
  const auto resets = [&](const char* reply) {
    return &registry_.counter("fairlead_grpc_resets_total",
                              "gRPC calls reset by the client, by what it had of a reply.",
                              {{"reply", reply}});
  };
  answered_resets_ = resets("begun");
  unanswered_resets_ = resets("none");
  stream_errors_ = counter("fairlead_grpc_stream_errors_total",
                           "Frames that broke a rule of HTTP/2, and their call with it.");
  protocol_errors_ = counter("fairlead_grpc_protocol_errors_total",
                             "Connections ended because they do not speak HTTP/2.");
  constexpr const char* kTimeouts[] = {"open", "head", "ping", "write"};
  for (std::size_t i = 0; i < timeouts_.size(); ++i) {
    timeouts_[i] = &registry_.counter("fairlead_grpc_timeouts_total",
                                      "gRPC connections ended for being slow, by at what.",
                                      {{"at", kTimeouts[i]}});
  }
}

void ExtProcMetrics::on_stream_begin() {
  ++streams_open_;
  open_->set(static_cast<double>(streams_open_));
  epp_open_->set(static_cast<double>(streams_open_));
}

void ExtProcMetrics::on_stream_end(net::GrpcStatus status, Duration lasted) {
  --streams_open_;
  open_->set(static_cast<double>(streams_open_));
  epp_open_->set(static_cast<double>(streams_open_));
  lasted_->observe(to_seconds(lasted));
  Counter*& cell = ended_[static_cast<std::size_t>(status)];
  if (cell == nullptr) {
    cell = &registry_.counter("llm_d_epp_extproc_streams_total",
                              "Ended ext_proc streams, by gRPC status.",
                              {{"code", std::string(codec::to_string(status))}});
  }
  cell->add();
}

void ExtProcMetrics::set_streams(const exchange::ExtProcCounters& now) {
  for (std::size_t i = 0; i < faults_.size(); ++i) {
    faults_[i]->add(now.faults[i] - streams_.faults[i]);
  }
  repeated_ends_->add(now.repeated_ends - streams_.repeated_ends);
  foreign_answers_->add(now.foreign_answers - streams_.foreign_answers);
  observed_->add(now.observed - streams_.observed);
  closed_early_->add(now.closed_early - streams_.closed_early);
  kept_open_->add(now.kept_open - streams_.kept_open);
  subsets_too_long_->add(now.subsets_too_long - streams_.subsets_too_long);
  swaps_stopped_->add(now.swaps_stopped - streams_.swaps_stopped);
  streams_ = now;
}

void ExtProcMetrics::set_server(const net::GrpcServerCounters& now, std::size_t connections) {
  connections_->set(static_cast<double>(connections));
  accepted_->add(now.accepted - server_.accepted);
  messages_received_->add(now.messages_received - server_.messages_received);
  messages_sent_->add(now.messages_sent - server_.messages_sent);
  bytes_received_->add(now.bytes_received - server_.bytes_received);
  bytes_sent_->add(now.bytes_sent - server_.bytes_sent);
  protocol_errors_->add(now.protocol_errors - server_.protocol_errors);
  for (std::size_t i = 0; i < gone_.size(); ++i) gone_[i]->add(now.gone[i] - server_.gone[i]);
  for (std::size_t i = 0; i < refusals_.size(); ++i) {
    refusals_[i]->add(now.refusals[i] - server_.refusals[i]);
  }
  for (std::size_t i = 0; i < floods_.size(); ++i) {
    floods_[i]->add(now.floods[i] - server_.floods[i]);
  }
  for (std::size_t i = 0; i < finished_.size(); ++i) {
    finished_[i]->add(now.finished[i] - server_.finished[i]);
  }
  const auto answered = [](const net::GrpcServerCounters& of) {
    return of.resets - of.unanswered_resets;
  };
  answered_resets_->add(answered(now) - answered(server_));
  unanswered_resets_->add(now.unanswered_resets - server_.unanswered_resets);
  stream_errors_->add(now.stream_errors - server_.stream_errors);
  timeouts_[0]->add(now.open_timeouts - server_.open_timeouts);
  timeouts_[1]->add(now.head_timeouts - server_.head_timeouts);
  timeouts_[2]->add(now.ping_timeouts - server_.ping_timeouts);
  timeouts_[3]->add(now.write_timeouts - server_.write_timeouts);
  server_ = now;
  tls_.set(now.tls);
}

}  // namespace fairlead::extproc
