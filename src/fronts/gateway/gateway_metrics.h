// SPDX-License-Identifier: Apache-2.0
// GatewayMetrics: the metric cells of one gateway worker: those of requests, and what only a
// gateway has, its sockets, tries and tunnels.
// Threads: the worker's thread.
#pragma once

#include <array>
#include <cstdint>

#include "base/metrics.h"
#include "core/codec/trace_context.h"
#include "io/net/http1_server.h"
#include "io/net/tls_metrics.h"
#include "router/request_metrics.h"

namespace fairlead::gateway {

// Cumulative but for the numbers of connections; the metrics take the differences.
struct SocketFigures {
  std::uint64_t connections = 0;
  std::uint64_t accepted = 0;
  std::uint64_t accept_failures = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t upstream_connections = 0;
  std::uint64_t upstream_idle = 0;
  std::uint64_t upstream_connects = 0;
  std::uint64_t upstream_reuses = 0;
  std::uint64_t truncated_requests = 0;
  std::uint64_t stream_pauses = 0;
  std::array<std::uint64_t, codec::kHttp1ErrorCount> malformed{};  // By codec::Http1Error.
  std::uint64_t http2_connections = 0;
  std::uint64_t http2_resets = 0;
  std::uint64_t http2_streams_refused = 0;
  std::uint64_t http2_stream_errors = 0;
  std::array<std::uint64_t, net::kHttp2FloodCount> http2_floods{};
  std::uint64_t write_timeouts = 0;
  std::uint64_t idle_dropped = 0;
  std::uint64_t keep_alives_ended = 0;
};

// How an open WebSocket ended.
enum class TunnelEnd : std::uint8_t {
  kClosed,        // The engine closed it, as servers do after a closing handshake.
  kClientGone,    // The client reset it, or left bytes unread for too long.
  kEngineFailed,  // Reset.
  kIdle,          // limits.tunnelIdle.
  kExpired,       // limits.requestTotal.
  kDrained,       // Cut off at the end of a drain.
};
inline constexpr std::size_t kTunnelEndCount = 6;
std::string_view to_string(TunnelEnd end);  // snake_case, a metric label.

class GatewayMetrics final : public router::RequestMetrics {
 public:
  explicit GatewayMetrics(MetricRegistry& registry);

  void on_retry() { retries_->add(); }
  void on_stale_retry() { stale_retries_->add(); }
  void on_retry_budget_exhausted() { budget_exhausted_->add(); }
  void on_beyond_retry_buffer() { beyond_retry_buffer_->add(); }
  void on_refusal(net::RefusalKind kind, model::ReplyReason reason);
  void set_decoding(std::size_t bodies) { decoding_->set(static_cast<double>(bodies)); }
  void set_waiting(std::size_t requests) { waiting_->set(static_cast<double>(requests)); }
  void on_wait_end(picker::WaitEnd end, Duration waited);
  void on_tunnel_open();
  void on_tunnel_end(TunnelEnd end, std::uint64_t from_client, std::uint64_t from_engine);
  void set_sockets(const SocketFigures& now);
  void set_tls(const net::TlsFigures& clients, const net::TlsFigures& engines);

 private:
  void add_sockets();
  void add_http2();
  void add_tunnels();
  void add_waiting();

  Gauge* decoding_;
  Gauge* waiting_;
  Histogram* wait_;
  std::array<Counter*, picker::kWaitEndCount> wait_ends_{};
  std::array<Counter*, net::kRefusalKindCount> refusals_{};
  Counter* retries_;
  Counter* stale_retries_;
  Counter* budget_exhausted_;
  Counter* beyond_retry_buffer_;
  SocketFigures sockets_;  // As last reported.
  Gauge* connections_;
  Counter* accepted_;
  Counter* accept_failures_;
  Counter* bytes_received_;
  Counter* bytes_sent_;
  Counter* stream_pauses_;
  Gauge* upstream_connections_;
  Gauge* upstream_idle_;
  Counter* upstream_connects_;
  Counter* upstream_reuses_;
  Counter* truncated_requests_;
  std::array<Counter*, codec::kHttp1ErrorCount> malformed_{};  // Registered when they occur.
  Counter* http2_connections_;
  Counter* http2_resets_;
  Counter* http2_streams_refused_;
  Counter* http2_stream_errors_;
  std::array<Counter*, net::kHttp2FloodCount> http2_floods_{};
  Counter* write_timeouts_;
  std::uint64_t tunnels_ = 0;
  Gauge* tunnels_open_;
  std::array<Counter*, kTunnelEndCount> tunnel_ends_{};
  Counter* tunnel_bytes_from_client_;
  Counter* tunnel_bytes_from_engine_;
  net::TlsMetrics client_tls_;
  net::TlsMetrics engine_tls_;
};

}  // namespace fairlead::gateway
