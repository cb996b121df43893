// SPDX-License-Identifier: Apache-2.0
// Handoff<T>: a bounded queue from many threads to one. A full queue drops the oldest value and
// counts it. The lock is held for a move only, off the decision path. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/bounded_ring.h"

namespace fairlead {

template <class T>
class Handoff {
 public:
  explicit Handoff(std::size_t capacity) : ring_(capacity) {}

  void push(T value) {
    const std::lock_guard lock(mutex_);
    ring_.push(std::move(value));
  }

  // Moves everything queued so far to the end of `out`.
  void drain(std::vector<T>& out) {
    const std::lock_guard lock(mutex_);
    while (auto value = ring_.pop()) out.push_back(std::move(*value));
  }

  std::uint64_t dropped() const {
    const std::lock_guard lock(mutex_);
    return ring_.dropped();
  }

 private:
  mutable std::mutex mutex_;
  BoundedRing<T> ring_;
};

}  // namespace fairlead
