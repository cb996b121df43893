// SPDX-License-Identifier: Apache-2.0
// RouterLoop: the router process as the agenda sees it. What is to happen in the process waits
// while it is paused, and is then done late and in order, as after a long stop of a machine; what a
// process was to do that has ended is never done.
// Threads: thread-compatible.
#pragma once

#include <deque>
#include <utility>

#include "lab/sim/agenda.h"

namespace fairlead::sim {

class RouterLoop {
 public:
  explicit RouterLoop(Agenda& agenda) : agenda_(agenda) {}

  // `task`, as something that may be called at any time later, and then happens in the process
  // that runs now or never.
  Task wrap(Task task) {
    return [this, life = life_, task = std::move(task)] { enter(life, task); };
  }
  void after(Duration delay, Task task) { agenda_.after(delay, wrap(std::move(task))); }

  void pause(Duration length) {
    paused_until_ = std::max(paused_until_, agenda_.now() + length);
    agenda_.at(paused_until_, [this] { wake(); });
  }
  // Another process takes its place, not paused.
  void restart() {
    ++life_;
    waiting_.clear();
    paused_until_ = running_since_ = agenda_.now();
  }
  // Since when nothing had to wait.
  Time running_since() const { return running_since_; }
  bool paused() const { return agenda_.now() < paused_until_; }

 private:
  void enter(std::uint64_t life, const Task& task) {
    if (life != life_) return;
    if (paused() || !waiting_.empty()) {
      waiting_.push_back(task);
      return;
    }
    task();
  }
  void wake() {
    if (paused()) return;
    running_since_ = agenda_.now();
    const std::uint64_t life = life_;
    while (!waiting_.empty() && life == life_) {
      const Task task = std::move(waiting_.front());
      waiting_.pop_front();
      task();
    }
  }

  Agenda& agenda_;
  std::uint64_t life_ = 0;
  Time paused_until_{};
  Time running_since_{};
  std::deque<Task> waiting_;
};

}  // namespace fairlead::sim
