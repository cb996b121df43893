// SPDX-License-Identifier: Apache-2.0
// StopGate: where a server's main thread waits for its end, and what signals do meanwhile.
// Threads: any.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>

#include "base/time.h"

namespace fairlead::app {

// Waits for the first stop signal, then for the drain; a second signal ends it at once.
class StopGate {
 public:
  void signal() {
    const std::lock_guard lock(mutex_);
    ++signals_;
    changed_.notify_all();
  }
  void drained() {
    const std::lock_guard lock(mutex_);
    drained_ = true;
    changed_.notify_all();
  }
  void wait_for_signal() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return signals_ > 0; });
  }
  // True when a second signal ended the wait.
  bool wait_for_signal_within(Duration delay) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, delay, [this] { return signals_ > 1; });
  }
  // What SIGHUP does, while there is something to reload.
  void on_reload(std::function<void()> reload) {
    const std::lock_guard lock(mutex_);
    reload_ = std::move(reload);
  }
  void reload() {
    const std::lock_guard lock(mutex_);
    if (reload_) reload_();
  }
  void wait_for_drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return drained_ || signals_ > 1; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> reload_;
  int signals_ = 0;
  bool drained_ = false;
};

}  // namespace fairlead::app
