// SPDX-License-Identifier: Apache-2.0
// Signals as a queue: SIGTERM and SIGINT, and SIGHUP where something can be reloaded, are blocked
// in every thread and taken by one of its own, which calls back once for each. Make it before any
// other thread starts. Threads: the callback runs in the signal thread.
#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

namespace fairlead::app {

class SignalThread {
 public:
  explicit SignalThread(std::function<void()> on_stop, std::function<void()> on_reload = nullptr);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  sigset_t handled() const;
  void run();

  std::function<void()> on_stop_;
  std::function<void()> on_reload_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace fairlead::app
