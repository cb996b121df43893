// SPDX-License-Identifier: Apache-2.0
// Time as a value. The core never reads a clock: `now` is an argument, counted in nanoseconds from
// an arbitrary start that the owner of the clock chooses (boot in production, zero in the lab).
#pragma once

#include <chrono>
#include <cstdint>

namespace fairlead {

using Duration = std::chrono::nanoseconds;

// The tag of our time points. It has no now(): only a Clock can tell the time.
struct MonotonicTag {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicTag>;
  static constexpr bool is_steady = true;
};

using Time = std::chrono::time_point<MonotonicTag, Duration>;

constexpr double to_seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}
constexpr double to_seconds(Time time) { return to_seconds(time.time_since_epoch()); }
constexpr Duration from_seconds(double seconds) {
  return Duration(static_cast<std::int64_t>(seconds * 1e9));
}

// The port through which the rim reads time; io/net implements it, tests step it by hand.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;
  // Seconds since the Unix epoch, for logs and `created` fields only; never for intervals.
  virtual double unix_seconds() const = 0;
};

// A clock that moves only when told to.
class ManualClock final : public Clock {
 public:
  Time now() const override { return now_; }
  double unix_seconds() const override { return to_seconds(now_); }
  void advance(Duration by) { now_ += by; }
  void set(Time now) { now_ = now; }

 private:
  Time now_{};
};

}  // namespace fairlead
