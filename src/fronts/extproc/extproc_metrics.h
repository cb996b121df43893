// SPDX-License-Identifier: Apache-2.0
// ExtProcMetrics: the metric cells of one worker behind Envoy: those of requests, and what only
// this front has, its gRPC connections and streams. docs/metrics-epp.md documents every metric.
// Threads: the worker's thread.
#pragma once

#include <array>
#include <cstdint>

#include "base/metrics.h"
#include "core/exchange/extproc_stream.h"
#include "io/net/grpc_server.h"
#include "io/net/tls_metrics.h"
#include "router/request_metrics.h"

namespace fairlead::extproc {

class ExtProcMetrics final : public router::RequestMetrics {
 public:
  explicit ExtProcMetrics(MetricRegistry& registry);

  void on_stream_begin();
  void on_stream_end(net::GrpcStatus status, Duration lasted);
  void on_rebind() { rebinds_->add(); }
  // A report of Envoy that names nobody of the pool.
  void on_unknown_server() { unknown_servers_->add(); }
  // From a request's head to what Envoy is told.
  void on_decided_after(Duration time) { processing_->observe(to_seconds(time)); }
  // Of our own time, all messages of an answer together.
  void on_response_took(Duration time) { response_processing_->observe(to_seconds(time)); }

  // Cumulative figures, of which the metrics take the differences.
  void set_streams(const exchange::ExtProcCounters& now);
  void set_server(const net::GrpcServerCounters& now, std::size_t connections);
  void set_accept_failures(std::uint64_t failures) { accept_failures_->raise_to(failures); }
  void set_body_bytes(std::size_t bytes) { body_bytes_->set(static_cast<double>(bytes)); }

 private:
  void add_connections();

  exchange::ExtProcCounters streams_;
  net::GrpcServerCounters server_;
  std::uint64_t streams_open_ = 0;
  Gauge* open_;
  Gauge* epp_open_;
  Histogram* lasted_;
  Histogram* processing_;
  Histogram* response_processing_;
  std::array<Counter*, codec::kGrpcStatusCount> ended_{};
  std::array<Counter*, exchange::kExtProcFaultCount> faults_{};
  std::array<Counter*, net::kGrpcGoneCount> gone_{};
  std::array<Counter*, net::kGrpcRefusalCount> refusals_{};
  std::array<Counter*, net::kHttp2FloodCount> floods_{};
  std::array<Counter*, codec::kGrpcStatusCount> finished_{};
  Counter* answered_resets_;
  Counter* unanswered_resets_;
  Counter* stream_errors_;
  Counter* repeated_ends_;
  Counter* foreign_answers_;
  Counter* observed_;
  Counter* closed_early_;
  Counter* kept_open_;
  Counter* subsets_too_long_;
  Counter* swaps_stopped_;
  Counter* rebinds_;
  Counter* unknown_servers_;
  Gauge* connections_;
  Gauge* body_bytes_;
  Counter* accepted_;
  Counter* accept_failures_;
  Counter* messages_received_;
  Counter* messages_sent_;
  Counter* bytes_received_;
  Counter* bytes_sent_;
  Counter* protocol_errors_;
  std::array<Counter*, 4> timeouts_{};  // Of opening, heads, pings, writes.
  net::TlsMetrics tls_;
};

}  // namespace fairlead::extproc
