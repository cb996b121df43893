// SPDX-License-Identifier: Apache-2.0
// KvExpected: prompts that were sent to an endpoint a moment ago. They count as held there, in a
// slot of the endpoint's own (ToldRows::Kind::kExpected), until the engine tells of their last
// blocks, for the engine knows better from then on; at the latest until their time is over. A
// prompt that the engine holds whole is not expected at all: it may evict it, and would not tell of
// it anew. A prompt sent twice is held as long as the later one, and what several begin with as
// long as the last of them, while the lane has room to count.
//
// Bounds: `blocks_max` blocks and kPromptsMax prompts over all endpoints; beyond, the oldest prompt
// is dropped and counted.
// Threads: the lane's writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "core/model/endpoint.h"
#include "core/prefix/kv_lane.h"

namespace fairlead::prefix {

// How often the owner takes in what was sent and lets go of what is over.
inline constexpr Duration kKvTick = std::chrono::milliseconds(5);

class KvExpected {
 public:
  static constexpr std::size_t kBlocksMax = 4 << 20;     // 32 MiB of keys.
  static constexpr std::size_t kPromptsMax = 256 << 10;  // 40 MiB of what is kept of each.

  // The lane must outlive this.
  explicit KvExpected(KvLane& lane, std::size_t blocks_max = kBlocksMax)
      : lane_(lane), domain_(lane.new_domain()), blocks_max_(blocks_max) {}

  // What is sent to the endpoint counts from here on; no endpoint has its place (asserted). None
  // when the lane has no slot left: then nothing sent there does.
  std::optional<KvSlot> open(model::EndpointRef endpoint);
  // The endpoint's slot; none while it is not open.
  std::optional<KvSlot> slot(model::EndpointRef endpoint) const;
  // Retires the slot: to be recycled once swept and out of use.
  void close(model::EndpointRef endpoint);

  // `device` are the slots of the endpoint's own word, one of each rank; `until` is not before that
  // of an earlier call. Nothing where the endpoint is not open, or keys are empty.
  void add(model::EndpointRef endpoint, std::vector<std::uint64_t> keys, Time until,
           std::span<const KvSlot> device);
  // The endpoint told of a chain of blocks that ends with this key.
  void told(model::EndpointRef endpoint, std::uint64_t last_key);
  // The endpoint lost its cache, and with it what was sent before.
  void forget(model::EndpointRef endpoint);
  // Those whose `until` has come.
  void expire(Time now);

  std::size_t blocks() const { return blocks_; }
  // Ever-rising.
  std::uint64_t dropped() const { return dropped_; }

 private:
  struct Place {
    model::EndpointRef endpoint;
    std::optional<KvSlot> slot;
    std::size_t prompts = 0;
  };
  struct Prompt {
    model::EndpointRef endpoint;
    std::vector<std::uint64_t> keys;
    Time until{};
  };

  using Prompts = std::list<Prompt>;
  // A key names all blocks before it, so an endpoint's slot has one prompt that ends with it.
  struct End {
    std::uint32_t slot;
    std::uint64_t last_key;
    bool operator==(const End&) const = default;
  };
  struct EndHash {
    std::size_t operator()(const End& end) const { return mix64(end.last_key + end.slot); }
  };

  void end(Prompts::iterator prompt);

  KvLane& lane_;
  KvDomain domain_;
  std::size_t blocks_max_;
  std::vector<Place> places_;  // By the endpoint's slot.
  Prompts prompts_;            // In the order of their ends.
  std::unordered_map<End, Prompts::iterator, EndHash> by_end_;
  std::size_t blocks_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace fairlead::prefix
