// SPDX-License-Identifier: Apache-2.0
// EngineFleet: N simulated vLLM servers in one event loop, one port each, alike but for the seeds.
//
//   auto fleet = EngineFleet::create(loop, {.engines = 8, .base_port = 9001, .profile = profile});
//   loop.run();
//
// Threads: the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/net/event_loop.h"
#include "lab/engine/engine_server.h"
#include "lab/engine/fault.h"

namespace fairlead::engine {

inline constexpr std::size_t kFleetEnginesMax = 4096;

struct FleetOptions {
  std::size_t engines = 1;
  std::string host = "127.0.0.1";
  std::uint16_t base_port = 0;  // The first engine's; the others follow. 0: any free one each.
  EngineProfile profile{};
  double speed = 1;  // Model time per real time; in (0, 10'000].
  std::uint64_t seed = 0;
  std::uint32_t stream_interval = 1;        // Tokens an event.
  std::vector<std::string> served_names{};  // Empty: the profile's model.
  std::vector<std::string> adapters{};      // LoRA adapters.
  std::string api_key{};                    // Empty: none is asked for.
  std::uint32_t max_waiting = 0;            // 0: no bound.
  std::string tls_cert{};                   // PEM files; both or none.
  std::string tls_key{};
  std::vector<FaultOption> faults{};  // From the start.
  std::string kv_events_config{};     // vLLM's JSON (cache_events.h); empty: no events.
  codec::KvEncoding kv_events_encoding = codec::KvEncoding::kMaps;
};

// Where an engine publishes what its cache holds; empty when it does not.
struct EventSockets {
  std::string events;
  std::string replay;
};

class EngineFleet {
 public:
  // Fails, naming the option or the address, when an option is out of range or a port is taken.
  static Result<std::unique_ptr<EngineFleet>> create(net::EventLoop& loop, FleetOptions options);
  ~EngineFleet();  // Closes everything at once.
  EngineFleet(const EngineFleet&) = delete;
  EngineFleet& operator=(const EngineFleet&) = delete;

  std::vector<std::uint16_t> ports() const;
  std::vector<EventSockets> event_sockets() const;
  std::size_t size() const { return engines_.size(); }
  EngineServer& engine(std::size_t index) { return *engines_[index]; }

  // Accepts no more connections; running requests end. `on_drained` runs once, when the last
  // connection is gone, maybe within this call.
  void drain(std::function<void()> on_drained);

 private:
  EngineFleet() = default;
  [[nodiscard]] Result<void> publish_caches(net::EventLoop& loop, const FleetOptions& options);

  std::vector<std::unique_ptr<EngineServer>> engines_;
  std::size_t draining_ = 0;
  std::function<void()> on_drained_;
};

}  // namespace fairlead::engine
