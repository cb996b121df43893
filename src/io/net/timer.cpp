// SPDX-License-Identifier: Apache-2.0
#include "io/net/timer.h"

#include <algorithm>
#include <utility>

#include "io/net/event_loop.h"

namespace fairlead::net {

void TimerHeap::fire(Time now) {
  earliest_ = now + Duration(1);
  while (next() <= now) {
    const Entry top = heap_.front();
    Timer& timer = *top.timer;
    if (timer.deadline_ > now && timer.deadline_ != Timer::kNever) {
      place(0, {timer.deadline_, &timer});
      sift_down(0);
      continue;
    }
    const bool due = timer.deadline_ <= now;
    erase(timer);
    timer.deadline_ = Timer::kNever;
    if (due) timer.on_fire_();
  }
  earliest_ = Time::min();
}

Time TimerHeap::next() const { return heap_.empty() ? Time::max() : heap_.front().place; }

void TimerHeap::insert(Timer& timer) {
  heap_.push_back({timer.deadline_, &timer});
  timer.index_ = heap_.size() - 1;
  sift_up(timer.index_);
}

void TimerHeap::erase(Timer& timer) {
  const std::size_t index = timer.index_;
  timer.index_ = Timer::kOutside;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  place(index, last);
  sift_up(index);
  sift_down(last.timer->index_);
}

void TimerHeap::place(std::size_t index, Entry entry) {
  heap_[index] = entry;
  entry.timer->index_ = index;
}

void TimerHeap::sift_up(std::size_t index) {
  const Entry entry = heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (heap_[parent].place <= entry.place) break;
    place(index, heap_[parent]);
    index = parent;
  }
  place(index, entry);
}

void TimerHeap::sift_down(std::size_t index) {
  const Entry entry = heap_[index];
  for (;;) {
    std::size_t child = index * 2 + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].place < heap_[child].place) ++child;
    if (entry.place <= heap_[child].place) break;
    place(index, heap_[child]);
    index = child;
  }
  place(index, entry);
}

Timer::Timer(EventLoop& loop, std::function<void()> on_fire)
    : loop_(loop), on_fire_(std::move(on_fire)) {}

Timer::~Timer() {
  if (index_ != kOutside) loop_.timers().erase(*this);
}

void Timer::arm(Duration after) { arm_at(loop_.now() + after); }

void Timer::arm_at(Time deadline) {
  TimerHeap& heap = loop_.timers();
  deadline = std::max(deadline, heap.earliest_);
  deadline_ = deadline;
  if (index_ == kOutside) {
    heap.insert(*this);
  } else if (deadline < heap.heap_[index_].place) {
    heap.heap_[index_].place = deadline;
    heap.sift_up(index_);
  }
}

}  // namespace fairlead::net
