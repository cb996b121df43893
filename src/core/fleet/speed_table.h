// SPDX-License-Identifier: Apache-2.0
// SpeedTable: how slow each endpoint computes prompts beside the others, learnt from first tokens.
//
// An engine takes prompts in turn, so a prompt's own time begins when it was sent or at the
// endpoint's last first token, whichever is later. Over all endpoints that time is fitted by
//   seconds = overhead + tokens * seconds_per_token       least squares, fading
// and an endpoint's slowness is the time it took over the time that the fit expects of the same
// prompts: 1 is like the others, 2 takes twice as long. What is not told apart from chance or from
// another mix of contexts (within kAlike, or fewer than kEnough prompts) counts as 1, and what was
// seen is believed less and less while nothing new comes: an endpoint that is avoided is tried
// again.
// Units: tokens, seconds. Threads: any; relaxed atomics, and a sample that meets another one may be
// lost.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/time.h"
#include "core/model/endpoint.h"

namespace fairlead::fleet {

class SpeedTable {
 public:
  static constexpr double kMemory = 200;       // Prompts of an endpoint.
  static constexpr double kPoolMemory = 2000;  // Prompts of all endpoints.
  static constexpr double kEnough = 30;
  static constexpr double kAlike = 1.3;
  static constexpr double kMost = 16;  // And the least is 1 / kMost.
  // The evidence of an endpoint that nobody asks counts half after so long.
  static constexpr Duration kHalfLife = std::chrono::seconds(60);

  SpeedTable() : cells_(std::make_unique<Cell[]>(model::kMaxEndpoints)) {}

  // A streamed answer began `now`; the prompt was sent there at `sent`, and `tokens` of it were not
  // cached.
  void first_token(std::uint32_t slot, Time sent, double tokens, Time now);
  // In [1 / kMost, kMost].
  float slowness(std::uint32_t slot, Time now) const;
  // Another endpoint takes the slot.
  void forget(std::uint32_t slot);

 private:
  using Sum = std::atomic<double>;
  struct alignas(64) Cell {
    std::atomic<std::int64_t> last_ns{0};  // Its last first token.
    Sum prompts{0};
    Sum took{0};
    Sum expected{0};
  };
  // Of the fit: prompts, tokens, seconds, and the products that least squares need.
  enum Part : std::uint8_t { kPrompts, kTokens, kSeconds, kTokens2, kTokensSeconds, kParts };

  // 0: not known yet.
  double expected(double tokens) const;

  std::array<Sum, kParts> pool_{};
  std::unique_ptr<Cell[]> cells_;
};

}  // namespace fairlead::fleet
