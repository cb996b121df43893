// SPDX-License-Identifier: Apache-2.0
// EventLog: the last things that happened to the fleet and the configuration, for the live page.
// What is kept is also logged; no secrets in either. Bounded: kEventsKept events of kEventBytesMax.
// Thread-compatible: control's, or its creator's before it runs.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "base/log.h"

namespace fairlead::router {

struct Event {
  std::uint64_t number = 0;  // From 1, ascending.
  double unix_seconds = 0;
  LogLevel level = LogLevel::kInfo;
  std::string text;
};

inline constexpr std::size_t kEventsKept = 200;
inline constexpr std::size_t kEventBytesMax = 1024;

class EventLog {
 public:
  void add(double unix_seconds, LogLevel level, std::string text) {
    if (text.size() > kEventBytesMax) text.resize(kEventBytesMax);
    if (events_.size() == kEventsKept) events_.pop_front();
    events_.push_back({++count_, unix_seconds, level, std::move(text)});
  }
  // The oldest first.
  const std::deque<Event>& events() const { return events_; }

 private:
  std::deque<Event> events_;
  std::uint64_t count_ = 0;
};

}  // namespace fairlead::router
