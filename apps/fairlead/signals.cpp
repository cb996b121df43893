// SPDX-License-Identifier: Apache-2.0
#include "signals.h"

#include <csignal>
#include <utility>

namespace fairlead::app {
namespace {

// Wakes the signal thread for its end; from anybody else it is ignored.
constexpr int kEndSignal = SIGUSR2;

}  // namespace

sigset_t SignalThread::handled() const {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, kEndSignal}) sigaddset(&set, signal);
  if (on_reload_) sigaddset(&set, SIGHUP);
  return set;
}

SignalThread::SignalThread(std::function<void()> on_stop, std::function<void()> on_reload)
    : on_stop_(std::move(on_stop)), on_reload_(std::move(on_reload)) {
  const sigset_t set = handled();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A peer that closes its connection is an error of write(), not a signal.
  std::signal(SIGPIPE, SIG_IGN);
  thread_ = std::thread([this] { run(); });
}

SignalThread::~SignalThread() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), kEndSignal);
  thread_.join();
}

void SignalThread::run() {
  const sigset_t set = handled();
  while (true) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0 || ending_) return;
    if (signal == SIGHUP) {
      on_reload_();
    } else if (signal != kEndSignal) {
      on_stop_();
    }
  }
}

}  // namespace fairlead::app
