// SPDX-License-Identifier: Apache-2.0
// Life of the server and its faults; engine_routes.cpp has the routes.
#include "lab/engine/engine_server.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace fairlead::engine {
namespace {

constexpr std::size_t kBodyBytesMax = 64 * 1024 * 1024;
constexpr Duration kSoon = std::chrono::milliseconds(1);
// The port may be taken by another process for a moment.
constexpr Duration kListenAgain = std::chrono::milliseconds(100);

Duration duration_of(const Fault& fault) {
  return std::max(from_seconds(fault.duration_s.value_or(0)), kSoon);
}

}  // namespace

EngineServer::EngineServer(net::EventLoop& loop, EngineServerOptions options)
    : loop_(loop),
      options_(std::move(options)),
      engine_(loop, options_.engine),
      parser_(kBodyBytesMax),
      stall_end_(loop, [this] { clear_fault(FaultKind::kStall); }),
      slow_end_(loop, [this] { clear_fault(FaultKind::kSlowStart); }),
      listener_action_(loop, [this] { act_on_listener(); }),
      come_back_(loop, [this] { come_back(); }) {}

Result<std::unique_ptr<EngineServer>> EngineServer::create(net::EventLoop& loop,
                                                           EngineServerOptions options) {
  std::unique_ptr<EngineServer> server(new EngineServer(loop, std::move(options)));
  if (auto listening = server->listen(); !listening) return tl::unexpected(listening.error());
  return server;
}

Result<void> EngineServer::listen() {
  net::Http1ServerOptions http;
  http.body_bytes_max = kBodyBytesMax;
  http.tls = options_.tls;
  auto server =
      std::make_unique<net::Http1Server>(loop_, static_cast<net::RequestHandler&>(*this), http);
  auto listening = server->listen(options_.address, net::PortSharing::kExclusive);
  if (!listening) return listening;
  options_.address = options_.address.with_port(server->local_port());
  http_ = std::move(server);
  return {};
}

void EngineServer::set_fault(const Fault& fault) {
  engine_.faults().set(fault);
  switch (fault.kind) {
    case FaultKind::kStall:
      engine_.pause();
      stall_end_.cancel();
      if (fault.duration_s) stall_end_.arm(duration_of(fault));
      return;
    case FaultKind::kSlowStart:
      slow_end_.arm(duration_of(fault));
      return;
    case FaultKind::kRefuse:
    case FaultKind::kCrash:
      listener_fault_ = fault.kind;
      listener_action_.arm(kSoon);
      return;
    default:
      return;
  }
}

void EngineServer::clear_fault(FaultKind kind) {
  if (engine_.faults().find(kind) == nullptr) return;
  engine_.faults().clear(kind);
  if (kind == FaultKind::kStall) {
    stall_end_.cancel();
    engine_.resume();
  }
  if (kind == FaultKind::kRefuse || kind == FaultKind::kCrash) {
    if (kind == listener_fault_) listener_action_.cancel();
    if (http_ == nullptr) come_back_.arm(kSoon);
  }
}

void EngineServer::act_on_listener() {
  const Fault* fault = engine_.faults().find(listener_fault_);
  if (fault == nullptr || draining_) return;
  come_back_.arm(duration_of(*fault));
  if (listener_fault_ == FaultKind::kCrash) return crash();
  close_listener();
}

void EngineServer::close_listener() {
  if (http_ == nullptr) return;
  net::Http1Server* server = http_.get();
  retired_.push_back(std::move(http_));
  server->drain([this, server] { free_retired(server); });
}

void EngineServer::free_retired(const net::Http1Server* server) {
  const auto found = std::ranges::find(retired_, server, &std::unique_ptr<net::Http1Server>::get);
  if (found == retired_.end()) return;
  loop_.destroy_later(std::move(*found));
  retired_.erase(found);
}

void EngineServer::forget(const RealtimeSession& session) {
  const auto found = std::ranges::find(sessions_, &session, &std::unique_ptr<RealtimeSession>::get);
  if (found == sessions_.end()) return;
  loop_.destroy_later(std::move(*found));
  sessions_.erase(found);
}

void EngineServer::crash() {
  engine_.restart();
  engine_.close_events();
  sessions_.clear();
  if (http_ != nullptr) {
    http_->stop_accepting();
    loop_.destroy_later(std::move(http_));
  }
  while (!retired_.empty()) free_retired(retired_.back().get());
}

void EngineServer::come_back() {
  if (draining_ || http_ != nullptr) return;
  if (!engine_.reopen_events() || !listen()) {
    come_back_.arm(kListenAgain);
    return;
  }
  if (listener_fault_ == FaultKind::kCrash) engine_.restart();
  engine_.faults().clear(FaultKind::kRefuse);
  engine_.faults().clear(FaultKind::kCrash);
}

void EngineServer::drain(std::function<void()> on_drained) {
  draining_ = true;
  come_back_.cancel();
  // Each leaves the list when it has said goodbye.
  while (!sessions_.empty()) sessions_.back()->go_away();
  if (http_ == nullptr) return on_drained();
  http_->drain(std::move(on_drained));
}

}  // namespace fairlead::engine
