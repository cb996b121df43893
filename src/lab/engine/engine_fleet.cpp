// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/engine_fleet.h"

#include <algorithm>
#include <utility>

#include "base/random.h"

namespace fairlead::engine {
namespace {

constexpr double kFastest = 10'000;
constexpr std::size_t kPorts = 65'536;

void replace(std::string& text, std::string_view what, std::string_view by) {
  const std::size_t at = text.find(what);
  if (at != std::string::npos) text.replace(at, what.size(), by);
}

Result<void> check(const FleetOptions& options) {
  constexpr ErrorCode kWrong = ErrorCode::kInvalidArgument;
  if (options.engines < 1 || options.engines > kFleetEnginesMax) {
    return fail(kWrong, "engines: must be in 1..{}, not {}", kFleetEnginesMax, options.engines);
  }
  if (!(options.speed > 0 && options.speed <= kFastest)) {
    return fail(kWrong, "speed: must be above 0 and at most {}, not {}", kFastest, options.speed);
  }
  if (options.stream_interval < 1) return fail(kWrong, "stream-interval: must be at least 1");
  if (options.base_port != 0 && options.base_port + options.engines > kPorts) {
    return fail(kWrong, "base-port: {} engines from port {} on do not fit below 65536",
                options.engines, options.base_port);
  }
  for (const FaultOption& fault : options.faults) {
    if (!fault.engine || *fault.engine < options.engines) continue;
    return fail(kWrong, "fault {}: there is no engine {}; they are numbered from 0 to {}",
                to_string(fault.fault.kind), *fault.engine, options.engines - 1);
  }
  std::vector<std::string> names = options.served_names;
  if (names.empty()) names.push_back(options.profile.model);
  names.insert(names.end(), options.adapters.begin(), options.adapters.end());
  std::ranges::sort(names);
  if (names.front().empty()) return fail(kWrong, "a model or adapter name is empty");
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end())
    return fail(kWrong, "the model or adapter name `{}` is given twice", *twice);
  return validate(options.profile);
}

}  // namespace

Result<std::unique_ptr<EngineFleet>> EngineFleet::create(net::EventLoop& loop,
                                                         FleetOptions options) {
  if (const auto checked = check(options); !checked) {
    return with_context(checked.error(), "simulated engines");
  }
  const auto address = net::SocketAddress::parse(options.host, options.base_port);
  if (!address) return with_context(address.error(), "simulated engines");
  std::shared_ptr<const net::TlsServerContext> tls;
  if (!options.tls_cert.empty() || !options.tls_key.empty()) {
    // Engines speak HTTP/1.1.
    auto context =
        net::TlsServerContext::create({options.tls_cert, options.tls_key, net::Http2Offer::kNo});
    if (!context) return with_context(context.error(), "TLS");
    tls = std::move(*context);
  }
  if (options.served_names.empty()) options.served_names.push_back(options.profile.model);
  std::unique_ptr<EngineFleet> fleet(new EngineFleet);
  for (std::size_t i = 0; i < options.engines; ++i) {
    const auto port = options.base_port == 0 ? 0 : options.base_port + i;
    auto engine =
        EngineServer::create(loop, {.address = address->with_port(static_cast<std::uint16_t>(port)),
                                    .api_key = options.api_key,
                                    .engine = {.profile = options.profile,
                                               .speed = options.speed,
                                               .seed = mix64(options.seed + i),
                                               .stream_interval = options.stream_interval,
                                               .served_names = options.served_names,
                                               .adapters = options.adapters,
                                               .max_waiting = options.max_waiting},
                                    .tls = tls});
    if (!engine) return with_context(engine.error(), fmt::format("simulated engine {}", i));
    fleet->engines_.push_back(std::move(*engine));
  }
  const auto published = fleet->publish_caches(loop, options);
  if (!published) return with_context(published.error(), "simulated engines");
  for (const FaultOption& fault : options.faults) {
    for (std::size_t i = 0; i < options.engines; ++i) {
      if (!fault.engine || *fault.engine == i) fleet->engines_[i]->set_fault(fault.fault);
    }
  }
  return fleet;
}

Result<void> EngineFleet::publish_caches(net::EventLoop& loop, const FleetOptions& options) {
  if (options.kv_events_config.empty()) return {};
  const auto config = parse_kv_events_config(options.kv_events_config);
  if (!config) return tl::unexpected(config.error());
  if (!*config) return {};
  auto context = net::ZmqContext::create();
  if (!context) return tl::unexpected(context.error());
  const std::shared_ptr<net::ZmqContext> shared = std::move(*context);
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    CacheEventsConfig own = **config;
    own.encoding = options.kv_events_encoding;
    std::string& topic = own.publisher.topic;
    replace(topic, "{port}", std::to_string(engines_[i]->port()));
    replace(topic, "{model}", options.served_names.front());
    auto events = CacheEvents::create(shared, loop, own, static_cast<std::uint32_t>(i),
                                      options.profile.block_size);
    if (!events) return tl::unexpected(events.error());
    engines_[i]->publish_cache(std::move(*events));
  }
  return {};
}

EngineFleet::~EngineFleet() = default;

std::vector<EventSockets> EngineFleet::event_sockets() const {
  std::vector<EventSockets> sockets;
  for (const auto& engine : engines_) {
    const CacheEvents* const events = engine->engine().cache_events();
    if (events == nullptr) {
      sockets.push_back({});
    } else {
      sockets.push_back({events->publisher().endpoint(), events->publisher().replay_endpoint()});
    }
  }
  return sockets;
}

std::vector<std::uint16_t> EngineFleet::ports() const {
  std::vector<std::uint16_t> ports;
  for (const auto& engine : engines_) ports.push_back(engine->port());
  return ports;
}

void EngineFleet::drain(std::function<void()> on_drained) {
  draining_ = engines_.size();
  on_drained_ = std::move(on_drained);
  for (const auto& engine : engines_) {
    engine->drain([this] {
      if (--draining_ == 0) std::exchange(on_drained_, nullptr)();
    });
  }
}

}  // namespace fairlead::engine
