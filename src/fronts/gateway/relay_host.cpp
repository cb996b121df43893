// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/relay_host.h"

#include "core/exchange/credential.h"
#include "core/exchange/request_head.h"
#include "fronts/gateway/relay.h"

namespace fairlead::gateway {
namespace {

// Keeps the request ids of a worker apart from its picker's chances.
constexpr std::uint64_t kIdStream = 0x72657175657374;
constexpr std::uint64_t kTraceStream = 0x7472616365;

net::UpstreamPoolOptions upstream_options(const router::Router& router) {
  net::UpstreamPoolOptions options;
  options.tls = router.tls().engines;
  options.head.head_bytes = 64 * 1024;
  return options;
}

}  // namespace

RelayHost::RelayHost(net::EventLoop& loop, router::Router& router, AccessLog* access_log,
                     std::uint32_t worker)
    : loop_(loop),
      generation_(router.generation()),
      pool_snapshot_(router.pool()),
      access_(router.access()),
      access_log_(access_log),
      process_seed_(router.process_seed()),
      random_(mix64(router.process_seed() ^ kIdStream) + worker),
      trace_random_(mix64(router.process_seed() ^ kTraceStream) + worker),
      responses_(router.responses()),
      traces_(router.traces()),
      metrics_(router.metrics()),
      traffic_(router.traffic()),
      picker_(router.make_picker(worker)),
      targets_(router.generation().load()->settings.fleet.tls.server_name),
      model_list_(static_cast<std::uint64_t>(loop.unix_seconds())),
      upstream_(loop, upstream_options(router)) {
  adopt(generation_.get());
}

RelayHost::~RelayHost() = default;

Relay& RelayHost::take() {
  if (free_.empty()) {
    relays_.push_back(std::make_unique<Relay>(*this));
    return *relays_.back();
  }
  Relay* relay = free_.back();
  free_.pop_back();
  return *relay;
}

void RelayHost::release(Relay& relay) { free_.push_back(&relay); }

void RelayHost::cut_off_all() {
  for (const auto& relay : relays_) relay->cut_off();
}

void RelayHost::adopt(const router::Generation& generation) {
  const std::size_t body_bytes = generation.settings.limits.body_bytes;
  if (!desk_ || body_bytes != desk_bytes_) desk_.emplace(body_bytes);
  desk_bytes_ = body_bytes;
  const std::uint32_t workers = generation.settings.gateway.workers;
  tunnels_max_ = (generation.settings.limits.tunnels + workers - 1) / workers;
  picker_.set_limits(router::Router::picker_limits(generation.settings));
  loop_.pacer().set_pause(generation.settings.gateway.stream_batching);
}

bool RelayHost::take_tunnel() {
  if (tunnels_ >= tunnels_max_) return false;
  ++tunnels_;
  return true;
}

const access::Key* RelayHost::find_key(const codec::Http1Headers& headers) {
  const std::string_view shown = exchange::client_key(headers);
  const auto digest = shown.empty() ? std::nullopt : hasher_.digest(shown);
  return digest ? access_.get().keys.find(*digest) : nullptr;
}

std::shared_ptr<const UpstreamTarget> RelayHost::target(model::EndpointRef ref) {
  return targets_.find(ref, pool_snapshot_.get());
}

void RelayHost::make_request_id(std::string& out) {
  const std::uint64_t high = random_.next();
  exchange::make_request_id(high, random_.next(), out);
}

}  // namespace fairlead::gateway
