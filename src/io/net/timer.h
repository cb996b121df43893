// SPDX-License-Identifier: Apache-2.0
// TimerHeap and Timer: deadlines of one event loop.
//
// A Timer is a member of the object it belongs to. Moving its deadline later or cancelling it
// costs nothing (its place in the heap is corrected when reached), so an idle timeout may be armed
// anew on every read; earlier deadlines cost O(log n).
// Threads: the loop's thread only.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "base/time.h"

namespace fairlead::net {

class EventLoop;
class Timer;

class TimerHeap {
 public:
  // Fires every timer whose deadline is not after `now`. One that is armed meanwhile, for now too,
  // waits for the next call.
  void fire(Time now);
  // When fire() should be called next; Time::max() with nothing armed.
  Time next() const;
  std::size_t size() const { return heap_.size(); }

 private:
  friend class Timer;
  struct Entry {
    Time place;  // At most the timer's deadline, which may have moved later since.
    Timer* timer;
  };
  void insert(Timer& timer);
  void erase(Timer& timer);
  void place(std::size_t index, Entry entry);
  void sift_up(std::size_t index);
  void sift_down(std::size_t index);

  std::vector<Entry> heap_;
  Time earliest_ = Time::min();  // While fire() runs: what may be armed for.
};

class Timer {
 public:
  // `on_fire` runs in the loop's thread and may arm or destroy_later() anything.
  Timer(EventLoop& loop, std::function<void()> on_fire);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void arm(Duration after);  // From the loop's now(). Replaces an earlier deadline.
  void arm_at(Time deadline);
  void cancel() { deadline_ = kNever; }
  bool armed() const { return deadline_ != kNever; }

 private:
  friend class TimerHeap;
  static constexpr Time kNever = Time::max();
  static constexpr std::size_t kOutside = static_cast<std::size_t>(-1);

  EventLoop& loop_;
  std::function<void()> on_fire_;
  Time deadline_ = kNever;
  std::size_t index_ = kOutside;  // In the heap.
};

}  // namespace fairlead::net
