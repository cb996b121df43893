// SPDX-License-Identifier: Apache-2.0
#include "io/net/event_loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/assert.h"
#include "io/net/loop_profile.h"

namespace fairlead::net {
namespace {

// A task that asks for itself again and again must not keep the loop from its sockets.
constexpr int kTurnEndPasses = 8;

}  // namespace

TurnTask::~TurnTask() {
  if (queued_in_ != nullptr) queued_in_->forget(*this);
}

Result<std::unique_ptr<EventLoop>> EventLoop::create(const EventLoopOptions& options) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  UniqueFd wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!epoll.valid() || !wake.valid()) {
    return fail(ErrorCode::kIo, "event loop: {}; raise the descriptor limit (ulimit -n)",
                std::strerror(errno));
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return fail(ErrorCode::kIo, "event loop: epoll_ctl: {}", std::strerror(errno));
  }
  return std::unique_ptr<EventLoop>(new EventLoop(options, std::move(epoll), std::move(wake)));
}

EventLoop::EventLoop(const EventLoopOptions& options, UniqueFd epoll, UniqueFd wake)
    : options_(options),
      now_(clock_.now()),
      buffers_(options.kept_buffer_bytes_max),
      epoll_(std::move(epoll)),
      wake_(std::move(wake)) {}

EventLoop::~EventLoop() {
  destroy_doomed();
  for (TurnTask* task : turn_tasks_) {
    if (task != nullptr) task->queued_in_ = nullptr;
  }
}

Result<void> EventLoop::add(int fd, std::uint32_t events, FdHandler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return fail(ErrorCode::kIo, "event loop: cannot watch descriptor {}: {}", fd,
                std::strerror(errno));
  }
  return {};
}

void EventLoop::remove(int fd, FdHandler& handler) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  for (int i = delivered_; i < batch_; ++i) {
    Ready& ready = ready_[static_cast<std::size_t>(i)];
    if (ready.handler == &handler) ready.handler = nullptr;
  }
}

void EventLoop::at_turn_end(TurnTask& task) {
  if (task.queued_in_ != nullptr) return;
  task.queued_in_ = this;
  turn_tasks_.push_back(&task);
}

void EventLoop::forget(TurnTask& task) {
  task.queued_in_ = nullptr;
  std::ranges::replace(turn_tasks_, &task, static_cast<TurnTask*>(nullptr));
}

Posted EventLoop::post(std::function<void()> work) {
  bool first = false;
  {
    const std::lock_guard lock(posted_mutex_);
    if (posted_.size() >= options_.posted_max) return Posted::kFull;
    first = posted_.empty();
    posted_.push_back(std::move(work));
  }
  if (first) wake();
  return Posted::kQueued;
}

void EventLoop::wake() {
  const std::uint64_t one = 1;
  // It can only fail when the counter is full, and then the loop is awake anyway.
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

void EventLoop::stop() {
  stop_.store(true, std::memory_order_release);
  wake();
}

void EventLoop::run() {
  while (!stop_.exchange(false, std::memory_order_acquire)) run_turn(Duration::max());
}

void EventLoop::run_turn(Duration wait) {
  Duration limit = std::max(wait, Duration::zero());
  if (!turn_tasks_.empty() || !doomed_.empty()) limit = Duration::zero();
  const Time next = timers_.next();
  const Time before = clock_.now();
  if (next != Time::max()) limit = std::min(limit, std::max(next - before, Duration::zero()));
  if (profile_ != nullptr) profile_->begin_turn();
  const int count = wait_for_events(limit);
  lateness_ += before - now_;
  now_ = clock_.now();
  if (limit < now_ - before) lateness_ += now_ - before - limit;
  ++turns_;
  if (profile_ != nullptr) profile_->enter(LoopPart::kReading);
  deliver(count);
  if (profile_ != nullptr) profile_->enter(LoopPart::kOther);
  timers_.fire(now_);
  run_turn_end();
  destroy_doomed();
  if (profile_ != nullptr) profile_->end_turn();
  pause(pacer_.end_turn(now_));
}

// Events gather in the kernel meanwhile, and a timer may fire late by as much.
void EventLoop::pause(Duration length) {
  if (length <= Duration::zero()) return;
  const Duration since_epoch = (now_ + length).time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch);
  timespec until{};
  until.tv_sec = static_cast<std::time_t>(seconds.count());
  until.tv_nsec = static_cast<long>((since_epoch - seconds).count());
  // A signal ends it early, which does no harm.
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

int EventLoop::wait_for_events(Duration limit) {
  // Nanoseconds matter to a load generator's schedule.
  timespec spec{};
  const bool forever = limit == Duration::max();
  if (!forever) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
    spec.tv_sec = static_cast<std::time_t>(seconds.count());
    spec.tv_nsec = static_cast<long>((limit - seconds).count());
  }
  int count =
      epoll_pwait2(epoll_.get(), events_.data(), kBatch, forever ? nullptr : &spec, nullptr);
  if (count < 0 && errno == ENOSYS) {
    // Rounded up, or the loop would spin through the last millisecond.
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(
        std::min<Duration>(limit, std::chrono::hours(1)));
    count = epoll_wait(epoll_.get(), events_.data(), kBatch,
                       forever ? -1 : static_cast<int>(ms.count()));
  }
  FAIRLEAD_ASSERT(count >= 0 || errno == EINTR);
  return std::max(count, 0);
}

void EventLoop::deliver(int count) {
  bool woken = false;
  batch_ = 0;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events_[static_cast<std::size_t>(i)];
    if (event.data.ptr == nullptr) {
      woken = true;
      continue;
    }
    ready_[static_cast<std::size_t>(batch_++)] = {static_cast<FdHandler*>(event.data.ptr),
                                                  event.events};
  }
  delivered_ = 0;
  if (woken) run_posted();
  while (delivered_ < batch_) {
    const Ready ready = ready_[static_cast<std::size_t>(delivered_++)];
    if (ready.handler != nullptr) ready.handler->on_events(ready.events);
  }
}

void EventLoop::run_posted() {
  std::uint64_t wakes = 0;
  [[maybe_unused]] const auto got = ::read(wake_.get(), &wakes, sizeof wakes);
  {
    const std::lock_guard lock(posted_mutex_);
    running_posted_.swap(posted_);
  }
  for (std::function<void()>& work : running_posted_) work();
  running_posted_.clear();
}

void EventLoop::run_turn_end() {
  std::size_t at = 0;
  for (int pass = 0; pass < kTurnEndPasses && at < turn_tasks_.size(); ++pass) {
    const std::size_t end = turn_tasks_.size();
    while (at < end) {
      TurnTask* task = turn_tasks_[at++];
      if (task == nullptr) continue;
      task->queued_in_ = nullptr;
      turn_tasks_[at - 1] = nullptr;
      task->on_turn_end();
    }
  }
  turn_tasks_.erase(turn_tasks_.begin(), turn_tasks_.begin() + static_cast<std::ptrdiff_t>(at));
}

void EventLoop::destroy_doomed() {
  // A destructor may give more away.
  for (std::size_t i = 0; i < doomed_.size(); ++i) {
    const Doomed doomed = doomed_[i];
    doomed.destroy(doomed.object);
  }
  doomed_.clear();
}

}  // namespace fairlead::net
