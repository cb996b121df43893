// SPDX-License-Identifier: Apache-2.0
// BoundedRing<T>: a fixed-capacity FIFO for one owner. When full, push() drops the oldest element
// and counts it, so that a slow reader costs information and never memory.
// Thread-compatible; base/handoff.h carries values between threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace fairlead {

template <class T>
class BoundedRing {
 public:
  explicit BoundedRing(std::size_t capacity) : slots_(capacity) { FAIRLEAD_ASSERT(capacity > 0); }

  void push(T value) {
    if (size_ == slots_.size()) {
      head_ = (head_ + 1) % slots_.size();
      --size_;
      ++dropped_;
    }
    slots_[(head_ + size_) % slots_.size()] = std::move(value);
    ++size_;
  }

  std::optional<T> pop() {
    if (size_ == 0) return std::nullopt;
    std::optional<T> value(std::move(slots_[head_]));
    head_ = (head_ + 1) % slots_.size();
    --size_;
    return value;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::uint64_t dropped() const { return dropped_; }

 private:
  std::vector<T> slots_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace fairlead
