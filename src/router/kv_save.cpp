// SPDX-License-Identifier: Apache-2.0
#include "router/kv_save.h"

#include <utility>

namespace fairlead::router {

std::optional<std::uint32_t> KvSave::await_begun() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kPatience, [this] { return domains_ || given_up_; });
  return domains_;
}

void KvSave::hand_over() {
  const std::lock_guard lock(mutex_);
  is_listeners_turn_ = true;
}

std::optional<std::string> KvSave::await_bytes() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kPatience,
                    [this] { return !waiting_.empty() || end_ != End::kNone || given_up_; });
  if (waiting_.empty()) return std::nullopt;
  std::string bytes = std::move(waiting_.front());
  waiting_.pop_front();
  return bytes;
}

KvSave::End KvSave::ended() const {
  const std::lock_guard lock(mutex_);
  return waiting_.empty() ? end_ : End::kNone;
}

void KvSave::give_up() {
  {
    const std::lock_guard lock(mutex_);
    given_up_ = true;
  }
  changed_.notify_all();
}

void KvSave::begun(std::uint32_t domains) {
  {
    const std::lock_guard lock(mutex_);
    domains_ = domains;
  }
  changed_.notify_all();
}

bool KvSave::may_write() const {
  const std::lock_guard lock(mutex_);
  return is_listeners_turn_ && waiting_.size() < kWaiting;
}

bool KvSave::given_up() const {
  const std::lock_guard lock(mutex_);
  return given_up_;
}

void KvSave::flush() {
  std::string bytes = writer_.take();
  if (bytes.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(bytes));
  }
  changed_.notify_all();
}

void KvSave::finish(End end) {
  flush();
  {
    const std::lock_guard lock(mutex_);
    end_ = end;
  }
  changed_.notify_all();
}

}  // namespace fairlead::router
