// SPDX-License-Identifier: Apache-2.0
// WaitingBand: requests that are bound late, to an endpoint that has room when their turn comes, in
// the order in which they came. One band a worker; bounded in number and, through `patience`, in
// time: whoever waited that long is due whether or not there is room.
//
//   offer ─▶ waits ─▶ take (bound, or refused) or leave (its client went)
//
// Ids are small numbers that are dense and reused, as a picker's request indices are.
// Errors: offer() is false when the band is full. Threads: thread-compatible. Time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"

namespace fairlead::admission {

struct BandLimits {
  std::uint32_t waiting_max = 0;  // Requests; 0: nobody waits.
  Duration patience{};
};

class WaitingBand {
 public:
  // For those who come from here on, and the patience of those who wait.
  void set_limits(const BandLimits& limits) { limits_ = limits; }

  // False: it is full, or nobody may wait.
  bool offer(std::uint32_t id, Time now);
  // Whether it waited.
  bool leave(std::uint32_t id);
  bool waits(std::uint32_t id) const { return id < links_.size() && links_[id].waits; }

  // The one that came first.
  std::optional<std::uint32_t> first() const;
  // Whether `id`, which waits, has waited as long as it may.
  bool due(std::uint32_t id, Time now) const;
  Duration waited(std::uint32_t id, Time now) const;
  std::size_t size() const { return size_; }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  struct Link {
    std::uint32_t before = kNone;
    std::uint32_t after = kNone;
    Time since{};
    bool waits = false;
  };

  BandLimits limits_;
  std::vector<Link> links_;  // By id.
  std::uint32_t first_ = kNone;
  std::uint32_t last_ = kNone;
  std::size_t size_ = 0;
};

}  // namespace fairlead::admission
