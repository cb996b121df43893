// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/gateway_worker.h"

#include <algorithm>
#include <utility>

#include "core/exchange/error_reply.h"
#include "core/exchange/response_head.h"
#include "core/exchange/route.h"
#include "fronts/gateway/relay.h"

namespace fairlead::gateway {
namespace {

using model::ReplyReason;

// After running requests were cut off, how long their last bytes may take to leave.
constexpr Duration kCutOffGrace = std::chrono::seconds(1);
// While idle connections are to be dropped, this share of them goes at each beat. Those that were
// busy a moment ago are spared: their next request may be on its way.
constexpr double kDropShare = 0.125;
constexpr Duration kDropAfter = std::chrono::seconds(1);

net::Http1ServerOptions server_options(const config::ServeSettings& settings,
                                       const std::shared_ptr<const net::TlsServerContext>& tls) {
  const config::LimitSettings& limits = settings.limits;
  net::Http1ServerOptions options;
  options.head.head_bytes = limits.header_bytes;
  options.head.headers = limits.header_count;
  options.body_bytes_max = limits.body_bytes;
  // Of all servers together, which share a budget.
  options.buffered_bytes_max = std::max(limits.buffered_bytes, 2 * limits.body_bytes);
  options.connections_max = limits.connections;
  options.http2_streams_max = settings.gateway.http2.max_concurrent_streams;
  options.tls = tls;
  options.idle_timeout = limits.client_idle;
  options.head_timeout = limits.header_read;
  options.body_timeout = limits.body_read;
  options.receive_timeout = limits.request_total;
  options.write_timeout = limits.client_write;
  return options;
}

ReplyReason reason_of(const net::Http1Refusal& refusal) {
  switch (refusal.kind) {
    case net::RefusalKind::kMalformed:
      return refusal.status == 431 ? ReplyReason::kHeaderTooLarge : ReplyReason::kBadRequest;
    case net::RefusalKind::kBodyTooLarge:
      return ReplyReason::kTooLarge;
    case net::RefusalKind::kHeadTimeout:
    case net::RefusalKind::kBodyTimeout:
      return ReplyReason::kRequestTimeout;
    case net::RefusalKind::kOutOfMemory:
    case net::RefusalKind::kTooManyConnections:
      return ReplyReason::kOverloaded;
  }
  return ReplyReason::kBadRequest;
}

}  // namespace

GatewayWorker::GatewayWorker(net::EventLoop& loop, router::Router& router,
                             router::AccessLog* access_log, WorkerPlace place)
    : loop_(loop),
      router_(router),
      log_(router.log()),
      host_(loop, router, access_log, place.number),
      place_(place),
      generation_(host_.generation()),
      options_(server_options(generation_->settings, router.tls().clients)),
      drain_timer_(loop, [this] { on_drain_timer(); }),
      socket_metrics_timer_(loop,
                            [this] {
                              report_sockets();
                              follow_generation();
                              socket_metrics_timer_.arm(kSocketMetricsInterval);
                            }),
      beat_timer_(loop, [this] { beat(); }) {
  if (place_.profile != nullptr) loop_.set_profile(&place_.profile->loop);
  socket_metrics_timer_.arm(kSocketMetricsInterval);
  beat_timer_.arm(Duration::zero());
}

GatewayWorker::~GatewayWorker() {
  router::OverloadState::WorkerCell& cell = router_.overload().cell(place_.number);
  cell.beat.store(0, std::memory_order_relaxed);
  cell.engine_connections.store(0, std::memory_order_relaxed);
}

Result<net::SocketAddress> GatewayWorker::listen(const net::SocketAddress& address,
                                                 net::PortSharing sharing) {
  net::RequestHandler& handler = *this;
  auto server =
      std::make_unique<net::Http1Server>(loop_, handler, options_, &router_.overload().budget());
  auto listening = server->listen(address, sharing);
  if (!listening) return tl::unexpected<Error>(std::move(listening.error()));
  servers_.push_back(std::move(server));
  return servers_.back()->local_address();
}

void GatewayWorker::follow_generation() {
  if (host_.in_force(*generation_)) return;
  generation_ = host_.generation();
  options_ = server_options(generation_->settings, options_.tls);
  for (const auto& server : servers_) server->set_options(options_);
  host_.adopt(*generation_);
}

void GatewayWorker::follow_overload() {
  using admission::OverloadAction;
  const admission::OverloadActions next = router_.overload().actions();
  const admission::OverloadActions before = host_.overload();
  if (next == before) return;
  host_.set_overload(next);
  for (const OverloadAction action :
       {OverloadAction::kTightenBuffers, OverloadAction::kRefuseConnections}) {
    if (next.has(action) && !before.has(action)) host_.metrics().on_overload(action);
  }
  const net::ServerRestraint restraint{.keeps_alive = !next.has(OverloadAction::kStopKeepalive),
                                       .accepts = !next.has(OverloadAction::kRefuseConnections),
                                       .takes_bodies = !next.has(OverloadAction::kShedRequests)};
  for (const auto& server : servers_) server->restrain(restraint);
}

// Tells the monitor that this loop turns, and does what takes longer than a moment.
void GatewayWorker::beat() {
  beat_timer_.arm(router::kBeatInterval);
  router::OverloadState::WorkerCell& cell = router_.overload().cell(place_.number);
  cell.beat.store(loop_.now().time_since_epoch().count(), std::memory_order_relaxed);
  cell.engine_connections.store(host_.upstream().counters().connections, std::memory_order_relaxed);
  follow_overload();
  if (!host_.overload().has(admission::OverloadAction::kDropIdle)) return;
  for (const auto& server : servers_) server->close_idle(kDropShare, kDropAfter);
}

// Bodies take memory: of those that nobody could use, or that nobody known sends, none is read.
net::BodyWish GatewayWorker::wish_for_body(const codec::Http1RequestHead& head,
                                           std::uint64_t& note) {
  const exchange::RouteMatch match = exchange::match_route(head.method, head.path());
  const bool refused =
      match.handling == exchange::Handling::kRefuse ||
      host_.overload().has(admission::OverloadAction::kShedRequests) ||
      (host_.access().keys.asks_for_key() && host_.find_key(head.headers, note) == nullptr);
  return refused ? net::BodyWish::kSkip : net::BodyWish::kRead;
}

void GatewayWorker::on_request(net::ServerExchange& exchange) {
  follow_generation();
  follow_overload();
  const codec::Http1RequestHead& head = exchange.head();
  host_.take().begin(exchange, exchange::match_route(head.method, head.path()));
}

void GatewayWorker::on_refusal(const net::Http1Refusal& refusal, net::RefusalReply& reply) {
  const ReplyReason reason = reason_of(refusal);
  host_.metrics().on_refusal(refusal.kind, reason);
  if (refusal.kind == net::RefusalKind::kOutOfMemory &&
      host_.overload().has(admission::OverloadAction::kShedRequests)) {
    host_.metrics().on_overload(admission::OverloadAction::kShedRequests);
  }
  reply.body.clear();
  exchange::append_error({reason, refusal.message, {}}, exchange::ErrorShape::kOpenAi, reply.body);
  reply.content_type = "application/json";
  reply.headers.push_back({exchange::kReasonHeader, model::to_string(reason)});
  if (reason == ReplyReason::kOverloaded) reply.headers.push_back({"retry-after", "1"});
}

void GatewayWorker::drain(std::function<void()> on_drained) {
  on_drained_ = std::move(on_drained);
  // One more than there are, so that it ends here even when all are idle.
  servers_draining_ = servers_.size() + 1;
  drain_timer_.arm(host_.generation()->settings.gateway.drain_timeout);
  for (const auto& server : servers_) server->drain([this] { on_server_drained(); });
  on_server_drained();
}

void GatewayWorker::on_server_drained() {
  if (--servers_draining_ == 0) end_drain();
}

void GatewayWorker::on_drain_timer() {
  // The second time: whoever still holds a connection has not even sent a request.
  if (std::exchange(cut_off_, true)) return end_drain();
  drain_timer_.arm(kCutOffGrace);
  log_.warning("the drain timeout is over: {} running requests are cut off", host_.live());
  host_.cut_off_all();
}

void GatewayWorker::end_drain() {
  drain_timer_.cancel();
  host_.upstream().close_all_idle();
  report_sockets();
  if (on_drained_) std::exchange(on_drained_, nullptr)();
}

void GatewayWorker::report_sockets() {
  SocketFigures now;
  net::TlsFigures with_clients;
  for (const auto& server : servers_) {
    const net::Http1ServerCounters& counters = server->counters();
    now.connections += counters.connections;
    now.accepted += counters.accepted;
    now.accept_failures += server->accept_failures();
    now.bytes_received += counters.bytes_received;
    now.bytes_sent += counters.bytes_sent;
    now.truncated_requests += counters.truncated_requests;
    for (std::size_t i = 0; i < now.malformed.size(); ++i)
      now.malformed[i] += counters.malformed[i];
    now.http2_connections += counters.http2_connections;
    now.http2_resets += counters.http2_resets;
    now.http2_streams_refused += counters.http2_streams_refused;
    now.http2_stream_errors += counters.http2_stream_errors;
    for (std::size_t i = 0; i < now.http2_floods.size(); ++i) {
      now.http2_floods[i] += counters.http2_floods[i];
    }
    now.write_timeouts += counters.write_timeouts;
    now.idle_dropped += counters.idle_dropped;
    now.keep_alives_ended += counters.keep_alives_ended;
    with_clients += counters.tls;
  }
  now.stream_pauses = loop_.pacer().pauses();
  if (place_.profile != nullptr) {
    place_.profile->connections.store(now.connections, std::memory_order_relaxed);
  }
  const net::UpstreamPoolCounters& upstream = host_.upstream().counters();
  now.upstream_connections = upstream.connections;
  now.upstream_idle = upstream.idle;
  now.upstream_connects = upstream.connects;
  now.upstream_reuses = upstream.reuses;
  host_.metrics().set_sockets(now);
  host_.metrics().set_tls(with_clients, upstream.tls);
}

}  // namespace fairlead::gateway
