// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/relay_host.h"

#include <utility>

#include "core/exchange/credential.h"
#include "core/exchange/request_head.h"
#include "fronts/gateway/relay.h"

namespace fairlead::gateway {
namespace {

// Keeps the request ids of a worker apart from its picker's chances.
constexpr std::uint64_t kIdStream = 0x72657175657374;
constexpr std::uint64_t kTraceStream = 0x7472616365;

// More than a table has keys.
constexpr std::uint64_t kNotesPerTable = std::uint64_t{1} << 20;

constexpr std::size_t kDecodersKept = 4;  // Each with 40 KiB.

net::UpstreamPoolOptions upstream_options(const router::Router& router) {
  net::UpstreamPoolOptions options;
  options.tls = router.tls().engines;
  options.head.head_bytes = 64 * 1024;
  return options;
}

}  // namespace

RelayHost::RelayHost(net::EventLoop& loop, router::Router& router, router::AccessLog* access_log,
                     std::uint32_t worker)
    : loop_(loop),
      generation_(router.generation()),
      pool_snapshot_(router.pool()),
      prompts_(loop, router),
      access_(router.access()),
      decode_timer_(loop, [this] { decode_next(); }),
      shared_state_(router.overload()),
      access_log_(access_log),
      key_seed_(router.key_seed()),
      random_(mix64(router.process_seed() ^ kIdStream) + worker),
      trace_random_(mix64(router.process_seed() ^ kTraceStream) + worker),
      responses_(router.responses()),
      traces_(router.traces()),
      metrics_(router.metrics()),
      traffic_(router.traffic()),
      picker_(router.make_picker(worker)),
      turn_timer_(loop, [this] { deal_turns(); }),
      targets_(router.generation().load()->settings.fleet.tls.server_name),
      model_list_(static_cast<std::uint64_t>(loop.unix_seconds())),
      upstream_(loop, upstream_options(router)) {
  adopt(generation_.get());
}

RelayHost::~RelayHost() { shared_state_.give_back_tunnels(tunnels_); }

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
  tunnels_max_ = generation.settings.limits.tunnels;
  picker_.set_limits(router::Router::picker_limits(generation.settings));
  loop_.pacer().set_pause(generation.settings.gateway.stream_batching);
}

bool RelayHost::take_tunnel() {
  if (!shared_state_.take_tunnel(tunnels_max_)) return false;
  ++tunnels_;
  return true;
}

void RelayHost::give_back_tunnel() {
  --tunnels_;
  shared_state_.give_back_tunnels(1);
}

std::unique_ptr<codec::GzipDecoder> RelayHost::take_decoder() {
  if (free_decoders_.empty()) return std::make_unique<codec::GzipDecoder>();
  std::unique_ptr<codec::GzipDecoder> decoder = std::move(free_decoders_.back());
  free_decoders_.pop_back();
  return decoder;
}

void RelayHost::give_back_decoder(std::unique_ptr<codec::GzipDecoder> decoder) {
  if (free_decoders_.size() < kDecodersKept) free_decoders_.push_back(std::move(decoder));
}

void RelayHost::decode_later(Relay& relay) {
  decoding_.push_back(&relay);
  metrics_.set_decoding(decoding_.size());
  // Zero would be this turn again.
  if (!decode_timer_.armed()) decode_timer_.arm(Duration{1});
}

void RelayHost::expect_turns() {
  metrics_.set_waiting(picker_.waiting());
  if (picker_.waiting() > 0 && !turn_timer_.armed()) turn_timer_.arm(picker::kTurnPeriod);
}

void RelayHost::deal_turns() {
  picker_.on_tick(actions_.outbox());
  actions_.run();
  expect_turns();
}

void RelayHost::decode_next() {
  if (decoding_.empty()) return;
  Relay* const relay = decoding_.front();
  decoding_.pop_front();
  if (!decoding_.empty()) decode_timer_.arm(Duration{1});
  metrics_.set_decoding(decoding_.size());
  relay->decode_on();
}

void RelayHost::stop_decoding(Relay& relay, std::unique_ptr<codec::GzipDecoder> decoder) {
  std::erase(decoding_, &relay);
  metrics_.set_decoding(decoding_.size());
  give_back_decoder(std::move(decoder));
}

const access::Key* RelayHost::find_key(const codec::Http1Headers& headers, std::uint64_t& note) {
  const access::KeyTable& table = access_.get().keys;
  if (noted_rules_.get() != &access_.get()) {
    noted_rules_ = access_.share();
    ++noted_number_;
  }
  if (note != 0 && note / kNotesPerTable == noted_number_) {
    return &table.keys()[note % kNotesPerTable];
  }
  const std::string_view shown = exchange::client_key(headers);
  const auto digest = shown.empty() ? std::nullopt : hasher_.digest(shown);
  const access::Key* const key = digest ? table.find(*digest) : nullptr;
  if (key == nullptr) return nullptr;
  note = noted_number_ * kNotesPerTable + static_cast<std::uint64_t>(key - table.keys().data());
  return key;
}

std::shared_ptr<const UpstreamTarget> RelayHost::target(model::EndpointRef ref) {
  return targets_.find(ref, pool_snapshot_.get());
}

void RelayHost::make_request_id(std::string& out) {
  const std::uint64_t high = random_.next();
  exchange::make_request_id(high, random_.next(), out);
}

}  // namespace fairlead::gateway
