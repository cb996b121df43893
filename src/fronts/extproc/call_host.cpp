// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/call_host.h"

#include <algorithm>
#include <charconv>

#include "core/exchange/request_head.h"
#include "fronts/extproc/extproc_call.h"

namespace fairlead::extproc {
namespace {

// Keeps the request ids of a worker apart from its picker's chances.
constexpr std::uint64_t kIdStream = 0x657070726571;
constexpr std::uint64_t kTraceStream = 0x657070747263;

exchange::ExtProcSettings stream_settings_of(const router::Generation& generation,
                                             std::uint64_t key_seed) {
  exchange::ExtProcSettings settings;
  settings.response = generation.epp.response_processing == config::ResponseProcessing::kNone
                          ? exchange::ResponseProcessing::kNone
                          : exchange::ResponseProcessing::kFull;
  const auto& parsers = generation.picker.parsers;
  settings.parsers = parsers;
  settings.unknown_path =
      std::ranges::find(parsers, scheduling::ParserKind::kPassthrough) != parsers.end()
          ? exchange::UnknownPath::kPlacedByLoad
          : exchange::UnknownPath::kRefused;
  const bool verifies =
      std::ranges::find(generation.picker.plugins, scheduling::kServedVerifier,
                        &scheduling::PluginUse::type) != generation.picker.plugins.end();
  settings.served_header =
      verifies ? exchange::ServedHeader::kTold : exchange::ServedHeader::kOmitted;
  settings.body_bytes_max = generation.epp.request_bytes_max;
  settings.head_bytes_max = generation.settings.limits.header_bytes;
  settings.request_id_header = generation.settings.gateway.request_id_header;
  settings.keys = {key_seed, generation.settings.prefix.block_bytes,
                   generation.profile.reads.has(scheduling::Column::kMediaCached)
                       ? exchange::MediaItems::kHashed
                       : exchange::MediaItems::kIgnored};
  return settings;
}

}  // namespace

CallHost::CallHost(net::EventLoop& loop, router::Router& router, FrontShared& shared,
                   std::uint32_t worker)
    : loop_(loop),
      generation_(router.generation()),
      pool_snapshot_(router.pool()),
      prompts_(loop, router),
      key_seed_(router.key_seed()),
      random_(mix64(router.process_seed() ^ kIdStream) + worker),
      trace_random_(mix64(router.process_seed() ^ kTraceStream) + worker),
      access_log_(shared.access_log),
      traces_(router.traces()),
      responses_(router.responses()),
      metrics_(router.metrics()),
      epp_metrics_(router.metrics(), shared.models, shared.fairness),
      scheduler_metrics_(router.metrics(), shared.models),
      plugin_metrics_(router.metrics()),
      traffic_(router.traffic()),
      bodies_(shared.body_bytes, {}),
      picker_(router.make_picker(worker, &plugin_metrics_)) {
  adopt(generation_.share());
}

CallHost::~CallHost() = default;

ExtProcCall& CallHost::take() {
  if (free_.empty()) {
    calls_.push_back(std::make_unique<ExtProcCall>(*this));
    return *calls_.back();
  }
  ExtProcCall* const call = free_.back();
  free_.pop_back();
  return *call;
}

void CallHost::release(ExtProcCall& call) { free_.push_back(&call); }

void CallHost::cut_off_all() {
  for (const auto& call : calls_) call->cut_off();
}

void CallHost::adopt(const std::shared_ptr<const router::Generation>& generation) {
  const std::size_t body_bytes = generation->epp.request_bytes_max;
  if (!desk_ || body_bytes != desk_bytes_) desk_.emplace(body_bytes);
  desk_bytes_ = body_bytes;
  exchange::ExtProcSettings settings = stream_settings_of(*generation, key_seed_);
  settings.keys.tokens = prompts_.settings();
  settings_ = std::make_shared<const exchange::ExtProcSettings>(std::move(settings));
  plugin_metrics_.adopt(generation->picker);
  bodies_.set_lent_bytes_max(generation->epp.buffered_bytes_max);
  picker::Limits limits = router::Router::picker_limits(generation->settings);
  limits.waiting = {};  // Envoy does not wait: it gives up after its own message_timeout.
  picker_.set_limits(limits);
  loop_.pacer().set_pause(generation->settings.gateway.stream_batching);
}

std::span<const codec::MetadataNumber> CallHost::report(const scheduling::Profile& profile,
                                                        const codec::Usage& usage) {
  reported_.clear();
  if (profile.reporters.empty()) return reported_;
  const scheduling::Usage seen{.prompt_tokens = usage.prompt_tokens,
                               .completion_tokens = usage.completion_tokens,
                               .total_tokens = {},
                               .cached_tokens = usage.cached_tokens};
  plugin_metrics_.begin();
  for (std::size_t i = 0; i < profile.reporters.size(); ++i) {
    const auto& [name, reporter] = profile.reporters[i];
    if (const auto told = reporter->report(seen)) {
      reported_.push_back({told->name_space, told->name, static_cast<double>(told->value)});
    }
    plugin_metrics_.done(scheduling::PluginPoint::kResponse, i, name);
  }
  return reported_;
}

void CallHost::make_request_id(std::string& out) {
  const std::uint64_t high = random_.next();
  exchange::make_request_id(high, random_.next(), out);
}

std::optional<model::EndpointRef> CallHost::find_endpoint(std::string_view host_port) {
  const std::size_t colon = host_port.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = host_port.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::uint16_t port = 0;
  const std::string_view digits = host_port.substr(colon + 1);
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (read.ec != std::errc() || read.ptr != digits.data() + digits.size()) return std::nullopt;
  for (const model::Endpoint& endpoint : pool_snapshot_.get().endpoints) {
    if (endpoint.port == port && endpoint.dial() == host) return endpoint.ref;
  }
  return std::nullopt;
}

}  // namespace fairlead::extproc
