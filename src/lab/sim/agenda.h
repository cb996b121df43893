// SPDX-License-Identifier: Apache-2.0
// Agenda: what is to happen in one simulated world, in the order of virtual time; of equal times
// what was written down first comes first, so that the same seed runs the same way.
// Threads: thread-compatible; a world is run by one thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/time.h"

namespace fairlead::sim {

using Task = std::function<void()>;

class Agenda {
 public:
  Time now() const { return now_; }
  void at(Time when, Task task) {
    entries_.push_back({std::max(when, now_), ++written_, std::move(task)});
    std::ranges::push_heap(entries_, Later{});
  }
  void after(Duration delay, Task task) { at(now_ + delay, std::move(task)); }

  // Runs the next entry that is due before `horizon`; false when there is none.
  bool step(Time horizon) {
    if (entries_.empty() || entries_.front().at >= horizon) return false;
    std::ranges::pop_heap(entries_, Later{});
    Entry entry = std::move(entries_.back());
    entries_.pop_back();
    now_ = entry.at;
    entry.task();
    return true;
  }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Time at;
    std::uint64_t number;
    Task task;
  };
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const {
      return a.at != b.at ? a.at > b.at : a.number > b.number;
    }
  };

  std::vector<Entry> entries_;  // A heap.
  std::uint64_t written_ = 0;
  Time now_{};
};

}  // namespace fairlead::sim
