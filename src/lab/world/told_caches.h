// SPDX-License-Identifier: Apache-2.0
// ToldCaches: what one router of the world knows of the engines' caches by their own word: the KV
// index of production, fed with what the engine models log instead of with messages. As the
// listener in production it counts a prompt as held where it was sent, at its next tick and for as
// long as the settings say. Every engine is believed: nothing is lost here. Threads:
// thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "core/picker/picker.h"
#include "core/prefix/kv_expected.h"
#include "core/prefix/kv_index.h"
#include "core/prefix/kv_lane.h"
#include "core/prefix/told_rows.h"
#include "core/scheduling/kv_event_settings.h"
#include "lab/engine/model/cache_log.h"

namespace fairlead::world {

class ToldCaches final : public picker::ExpectedBlocks {
 public:
  // Engines are slots 0 to engines - 1 of generation 0.
  ToldCaches(const scheduling::KvEventSettings& settings, std::uint32_t engines,
             std::uint32_t block_tokens);

  void apply(std::uint32_t engine, const engine::CacheLog& log);
  // To be called before each look-up: what the ticks up to now would have done.
  void catch_up(Time now);
  void expect(model::EndpointRef endpoint, std::span<const std::uint64_t> keys, Time now) override;

  const prefix::ToldKnowledge& knowledge() const { return rows_; }
  const prefix::KvFigures& figures() const { return lane_.figures(); }

 private:
  void take_sent(Time up_to);

  struct Sent {
    model::EndpointRef endpoint;
    std::vector<std::uint64_t> keys;
    Time at{};
  };

  std::optional<Duration> expect_for_;
  std::uint64_t root_;
  prefix::KvLane lane_;
  const prefix::KvLane* lanes_[1];
  prefix::KvIndex index_;
  prefix::ToldRows rows_;
  prefix::KvExpected expected_;
  std::vector<prefix::KvSlot> slots_;  // By engine.
  std::deque<Sent> sent_;              // Not taken in yet.
  std::vector<std::uint64_t> removed_;
};

}  // namespace fairlead::world
