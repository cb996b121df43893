// SPDX-License-Identifier: Apache-2.0
// ActionDesk: the outbox of a worker's picker, and whose request each of its actions is for, as one
// request's end may wake another. Receiver has on_action(const picker::Action&).
// Threads: the worker's thread. Allocates only to hold more requests than ever before.
#pragma once

#include <cstddef>
#include <vector>

#include "base/assert.h"
#include "core/picker/picker.h"

namespace fairlead::router {

template <class Receiver>
class ActionDesk {
 public:
  picker::Outbox& outbox() { return outbox_; }

  // Makes `receiver` the one that gets the actions for this id.
  void bind(picker::RequestId id, Receiver& receiver) {
    if (id.index >= bound_.size()) bound_.resize(id.index + 1);
    bound_[id.index] = &receiver;
  }
  void unbind(picker::RequestId id) { bound_[id.index] = nullptr; }

  // Hands out what is in the outbox. Actions that arise meanwhile are handed out by the outermost
  // call.
  void run() {
    if (running_) return;
    running_ = true;
    for (std::size_t i = 0; i < outbox_.size(); ++i) {
      const picker::Action action = outbox_[i];
      Receiver* const receiver = bound_[action.request.index];
      FAIRLEAD_ASSERT(receiver != nullptr);
      receiver->on_action(action);
    }
    outbox_.clear();
    running_ = false;
  }

 private:
  picker::Outbox outbox_;
  bool running_ = false;
  std::vector<Receiver*> bound_;  // By RequestId::index; null when free.
};

}  // namespace fairlead::router
