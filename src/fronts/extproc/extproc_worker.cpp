// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/extproc_worker.h"

#include <utility>

#include "fronts/extproc/extproc_call.h"

namespace fairlead::extproc {
namespace {

// After the drain timeout, for the statuses of the streams that were cut off.
constexpr Duration kCutOffGrace = std::chrono::seconds(1);
// For an answer's pieces beside a request's body.
constexpr std::size_t kPendingSlack = std::size_t{4} << 20;

net::GrpcServerOptions server_options(const router::Generation& generation,
                                      std::shared_ptr<const net::TlsServerContext> tls) {
  net::GrpcServerOptions options;
  options.tls = std::move(tls);
  options.connections_max = generation.settings.limits.connections;
  options.calls_max = generation.epp.streams_max;
  options.streams_max = generation.epp.streams_max;
  options.message_bytes_max = generation.epp.message_bytes_max;
  // A body goes back in one turn, with a head for each piece; its bytes are the body store's.
  options.pending_bytes_max =
      generation.epp.request_bytes_max + generation.epp.request_bytes_max / 64 + kPendingSlack;
  options.buffered_bytes_max = generation.epp.buffered_bytes_max;
  options.write_timeout = generation.settings.limits.client_write;
  return options;
}

}  // namespace

ExtProcWorker::ExtProcWorker(net::EventLoop& loop, router::Router& router, FrontShared& shared,
                             const WorkerPlace& place)
    : loop_(loop),
      router_(router),
      host_(loop, router, shared, place.number),
      place_(place),
      generation_(host_.generation()),
      drain_timer_(loop, [this] { on_drain_timer(); }),
      figures_timer_(loop,
                     [this] {
                       report();
                       follow_generation();
                       figures_timer_.arm(kFiguresInterval);
                     }),
      beat_timer_(loop, [this] { beat(); }),
      server_(loop, *this, server_options(*generation_, place.tls), &router.overload().budget()) {
  if (place.health != nullptr) {
    health_ = std::make_unique<net::GrpcHealth>(*place.health);
    health_metrics_ = std::make_unique<net::GrpcHealthMetrics>(router.metrics());
  }
  figures_timer_.arm(kFiguresInterval);
  beat_timer_.arm(Duration::zero());
}

ExtProcWorker::~ExtProcWorker() {
  router_.overload().cell(place_.number).beat.store(0, std::memory_order_relaxed);
}

void ExtProcWorker::follow_generation() {
  if (host_.in_force(*generation_)) return;
  generation_ = host_.generation();
  server_.set_options(server_options(*generation_, place_.tls));
  host_.adopt(generation_);
}

// Tells the monitor that this loop turns, and hears from it what to do without.
void ExtProcWorker::beat() {
  beat_timer_.arm(router::kBeatInterval);
  router::OverloadState::WorkerCell& cell = router_.overload().cell(place_.number);
  cell.beat.store(loop_.now().time_since_epoch().count(), std::memory_order_relaxed);
  host_.set_overload(router_.overload().actions());
  if (health_) health_->on_change();
}

net::GrpcCallObserver* ExtProcWorker::on_call(net::GrpcCall& call) {
  if (call.path() == kProcessPath) {
    follow_generation();
    ExtProcCall& taken = host_.take();
    taken.begin(call);
    return &taken;
  }
  if (health_ && net::GrpcHealth::serves(call.path())) return health_->on_call(call);
  return nullptr;
}

void ExtProcWorker::drain(std::function<void()> on_drained) {
  on_drained_ = std::move(on_drained);
  drain_timer_.arm(host_.generation()->epp.drain_timeout);
  if (health_) health_->end_watches();
  server_.drain([this] { end_drain(); });
}

void ExtProcWorker::on_drain_timer() {
  // The second time: whoever still holds a connection does not hear the end of it.
  if (std::exchange(cut_off_, true)) return end_drain();
  drain_timer_.arm(kCutOffGrace);
  router_.log().warning("the drain timeout is over: {} running streams are cut off", host_.live());
  host_.cut_off_all();
}

void ExtProcWorker::end_drain() {
  drain_timer_.cancel();
  report();
  if (on_drained_) std::exchange(on_drained_, nullptr)();
}

void ExtProcWorker::report() {
  host_.metrics().set_streams(host_.counters());
  host_.metrics().set_server(server_.counters(), server_.connections());
  host_.metrics().set_body_bytes(host_.body_bytes());
  if (health_) health_metrics_->set(*health_);
  if (place_.accept_failures) host_.metrics().set_accept_failures(place_.accept_failures());
}

}  // namespace fairlead::extproc
