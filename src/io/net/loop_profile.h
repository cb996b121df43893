// SPDX-License-Identifier: Apache-2.0
// LoopProfile: how the time of an event loop divides. Of one turn in kSampledEvery the clock is
// read wherever the work changes its kind; the others cost a count. Parts exclude each other: what
// is entered within another one is taken out of it.
//
//   loop.set_profile(&profile);                              // Before it runs.
//   const LoopScope scope(loop.profile(), LoopPart::kDeciding);  // In a handler; null: nothing.
//
// Units: nanoseconds of real time. Threads: the loop's, but for seconds(), which is for any.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/time.h"
#include "io/net/steady_clock.h"

namespace fairlead::net {

enum class LoopPart : std::uint8_t {
  kWaiting,   // For something to do.
  kReading,   // And parsing: whatever sockets bring, but for the two below.
  kDeciding,  // Scanning a body, hashing it, choosing an endpoint.
  kRelaying,  // An engine's answer.
  kOther,     // Timers, and what is left for the end of a turn: most writes.
};
inline constexpr std::size_t kLoopPartCount = 5;

class LoopProfile {
 public:
  static constexpr std::uint64_t kSampledEvery = 64;

  void begin_turn() {
    sampling_ = ++turns_ % kSampledEvery == 0;
    if (!sampling_) return;
    part_ = LoopPart::kWaiting;
    since_ = clock_.now();
  }
  void end_turn() { enter(LoopPart::kWaiting); }
  // Returns the part that it was in.
  LoopPart enter(LoopPart part) {
    const LoopPart before = part_;
    if (!sampling_) return before;
    const Time now = clock_.now();
    std::atomic<std::int64_t>& spent = spent_[static_cast<std::size_t>(before)];
    spent.store(spent.load(std::memory_order_relaxed) + (now - since_).count(),
                std::memory_order_relaxed);
    part_ = part;
    since_ = now;
    return before;
  }
  // Of the sampled turns, by LoopPart.
  std::array<double, kLoopPartCount> seconds() const {
    std::array<double, kLoopPartCount> all{};
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i] = to_seconds(Duration(spent_[i].load(std::memory_order_relaxed)));
    }
    return all;
  }

 private:
  SteadyClock clock_;
  std::uint64_t turns_ = 0;
  bool sampling_ = false;
  LoopPart part_ = LoopPart::kWaiting;
  Time since_{};
  std::array<std::atomic<std::int64_t>, kLoopPartCount> spent_{};
};

class LoopScope {
 public:
  LoopScope(LoopProfile* profile, LoopPart part) : profile_(profile) {
    if (profile_ != nullptr) before_ = profile_->enter(part);
  }
  ~LoopScope() {
    if (profile_ != nullptr) profile_->enter(before_);
  }
  LoopScope(const LoopScope&) = delete;
  LoopScope& operator=(const LoopScope&) = delete;

 private:
  LoopProfile* profile_;
  LoopPart before_ = LoopPart::kOther;
};

}  // namespace fairlead::net
