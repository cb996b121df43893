// SPDX-License-Identifier: Apache-2.0
// EventLoop: one thread's edge-triggered epoll loop with timers, posted work and turn-end work.
//
// A turn: wait, read the clock once, run posted functions, deliver events, fire timers, run
// turn-end tasks (one flush a connection), then destroy what destroy_later() was given. So a
// handler may close and give away the object it runs in.
// Threads: everything belongs to the thread that runs the loop, but for post() and stop(), which
// are thread-safe. Kernel: epoll(7), eventfd(2); edge-triggered as registered by the caller.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/net/buffer_pool.h"
#include "io/net/steady_clock.h"
#include "io/net/timer.h"
#include "io/net/turn_pacer.h"
#include "io/net/unique_fd.h"

namespace fairlead::net {

class LoopProfile;

// Told the epoll events (EPOLLIN, EPOLLRDHUP, ...) of a descriptor.
class FdHandler {
 public:
  virtual void on_events(std::uint32_t events) = 0;

 protected:
  ~FdHandler() = default;
};

// Edge-triggered, both directions, and the peer's close: registered once, never changed.
inline constexpr std::uint32_t kStreamEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

// Work for the end of the current turn; asked for any number of times, done once.
class TurnTask {
 public:
  TurnTask() = default;
  TurnTask(const TurnTask&) = delete;
  TurnTask& operator=(const TurnTask&) = delete;
  virtual void on_turn_end() = 0;

 protected:
  ~TurnTask();

 private:
  friend class EventLoop;
  EventLoop* queued_in_ = nullptr;
};

struct EventLoopOptions {
  std::size_t posted_max = 64 * 1024;  // Functions waiting in post().
  std::size_t kept_buffer_bytes_max = 32 * 1024 * 1024;
};

enum class Posted { kQueued, kFull };

class EventLoop final : public Clock {
 public:
  // Fails when the process has no descriptor left.
  static Result<std::unique_ptr<EventLoop>> create(const EventLoopOptions& options = {});
  ~EventLoop() override;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // The clock as read at the start of this turn.
  Time now() const override { return now_; }
  double unix_seconds() const override { return clock_.unix_seconds(); }
  // How long, over all turns before this one, the loop was at its own work instead of waiting, and
  // how much later than asked it woke up. A peer's deadline should not run meanwhile: what came in
  // time waits in the socket.
  Duration lateness() const { return lateness_; }

  // `handler` stays until remove(). The descriptor is the caller's.
  [[nodiscard]] Result<void> add(int fd, std::uint32_t events, FdHandler& handler);
  // Before the descriptor is closed. Events of this turn still undelivered are dropped.
  void remove(int fd, FdHandler& handler);

  void at_turn_end(TurnTask& task);

  // Destroys the object at the end of this turn.
  template <class T>
  void destroy_later(std::unique_ptr<T> object) {
    if (object) doomed_.push_back({object.release(), [](void* p) { delete static_cast<T*>(p); }});
  }

  // Runs `work` in the loop's thread. Thread-safe; kFull means that it will not run.
  [[nodiscard]] Posted post(std::function<void()> work);

  // Turns until stop(). stop() before run() makes run() return at once; run() may be called again.
  void run();
  void stop();  // Thread-safe.
  // One turn that waits at most `wait` for something to do: for tests and embedders.
  void run_turn(Duration wait);

  // Told of stream pieces, it may keep turns apart so that pieces share them.
  TurnPacer& pacer() { return pacer_; }
  // Before it runs; `profile` outlives it, and may be null.
  void set_profile(LoopProfile* profile) { profile_ = profile; }
  LoopProfile* profile() const { return profile_; }

  std::uint64_t turns() const { return turns_; }
  BufferPool& buffers() { return buffers_; }
  // For Timer.
  TimerHeap& timers() { return timers_; }

 private:
  static constexpr int kBatch = 128;
  struct Ready {
    FdHandler* handler;  // nullptr once removed.
    std::uint32_t events;
  };
  struct Doomed {
    void* object;
    void (*destroy)(void*);
  };
  friend class TurnTask;

  EventLoop(const EventLoopOptions& options, UniqueFd epoll, UniqueFd wake);
  int wait_for_events(Duration limit);
  void pause(Duration length);
  void run_posted();
  void deliver(int count);
  void run_turn_end();
  void destroy_doomed();
  void forget(TurnTask& task);
  void wake();

  EventLoopOptions options_;
  SteadyClock clock_;
  Time now_;
  Duration lateness_{};
  BufferPool buffers_;
  TimerHeap timers_;
  TurnPacer pacer_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::uint64_t turns_ = 0;
  LoopProfile* profile_ = nullptr;
  std::array<epoll_event, kBatch> events_{};
  std::array<Ready, kBatch> ready_{};
  int delivered_ = 0;  // Events of the batch before this index are done.
  int batch_ = 0;
  std::vector<TurnTask*> turn_tasks_;
  std::vector<Doomed> doomed_;
  std::vector<std::function<void()>> running_posted_;
  std::atomic<bool> stop_{false};

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;  // Guarded by posted_mutex_.
};

}  // namespace fairlead::net
