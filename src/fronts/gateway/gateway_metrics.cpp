// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/gateway_metrics.h"

#include <array>
#include <string>

namespace fairlead::gateway {

using router::register_all;
namespace {

// Seconds, up to the longest patience that makes sense before a client gives up.
constexpr std::array kWaitBounds = {0.01, 0.025, 0.05, 0.1,  0.25, 0.5,
                                    1.0,  2.5,   5.0,  10.0, 30.0, 60.0};

}  // namespace

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
    : RequestMetrics(registry), client_tls_(registry, "client"), engine_tls_(registry, "engine") {
  decoding_ = &registry.gauge("fairlead_bodies_decoding",
                              "Compressed request bodies that wait for their next slice.");
  register_all<net::RefusalKind>(registry, "fairlead_refusals_total",
                                 "Requests refused before they were whole, by kind.", "kind",
                                 refusals_);
  retries_ = &registry.counter("fairlead_retries_total", "Requests tried again elsewhere.");
  stale_retries_ =
      &registry.counter("fairlead_stale_connection_retries_total",
                        "Requests sent again because a pooled connection had died unseen.");
  budget_exhausted_ = &registry.counter("fairlead_retry_budget_exhausted_total",
                                        "Retries not made because the retry budget was spent.");
  beyond_retry_buffer_ =
      &registry.counter("fairlead_requests_beyond_retry_buffer_total",
                        "Failed tries not repeated because the body exceeds the retry buffer.");
  add_waiting();
  add_sockets();
  add_http2();
  add_tunnels();
}

void GatewayMetrics::add_waiting() {
  waiting_ = &registry_.gauge("fairlead_waiting_requests",
                              "Requests that wait for an endpoint with room now.");
  wait_ = &registry_.histogram("fairlead_wait_seconds",
                               "How long placed requests had waited for an endpoint with room.",
                               kWaitBounds, {});
  register_all<picker::WaitEnd>(registry_, "fairlead_waits_total",
                                "Requests for which no endpoint had room, by why they were placed.",
                                "end", wait_ends_);
}

void GatewayMetrics::on_wait_end(picker::WaitEnd end, Duration waited) {
  if (end == picker::WaitEnd::kNone) return;
  wait_ends_[static_cast<std::size_t>(end)]->add();
  if (end != picker::WaitEnd::kFull) wait_->observe(to_seconds(waited));
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
  http2_streams_refused_ =
      &registry_.counter("fairlead_http2_streams_refused_total",
                         "HTTP/2 streams beyond what a connection may have at a time.");
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

void GatewayMetrics::on_refusal(net::RefusalKind kind, model::ReplyReason reason) {
  refusals_[static_cast<std::size_t>(kind)]->add();
  on_reply(reason);
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
  http2_streams_refused_->add(now.http2_streams_refused - sockets_.http2_streams_refused);
  http2_stream_errors_->add(now.http2_stream_errors - sockets_.http2_stream_errors);
  for (std::size_t i = 0; i < http2_floods_.size(); ++i) {
    http2_floods_[i]->add(now.http2_floods[i] - sockets_.http2_floods[i]);
  }
  write_timeouts_->add(now.write_timeouts - sockets_.write_timeouts);
  count(admission::OverloadAction::kDropIdle, now.idle_dropped - sockets_.idle_dropped);
  count(admission::OverloadAction::kStopKeepalive,
        now.keep_alives_ended - sockets_.keep_alives_ended);
  sockets_ = now;
}

void GatewayMetrics::set_tls(const net::TlsFigures& clients, const net::TlsFigures& engines) {
  client_tls_.set(clients);
  engine_tls_.set(engines);
}

}  // namespace fairlead::gateway
