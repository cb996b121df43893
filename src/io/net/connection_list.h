// SPDX-License-Identifier: Apache-2.0
// ConnectionList: the open connections of one server, which count in the process's budget, and
// their bytes; not for other users.
//
// A connection has an `entry` (ConnectionEntry), stream() and on_server_draining().
// Threads: the loop's thread; the budget is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "io/net/event_loop.h"
#include "io/net/server_budget.h"

namespace fairlead::net {

// What the list keeps in each connection.
struct ConnectionEntry {
  std::size_t index = 0;
  std::uint64_t counted_received = 0;  // Of the stream's bytes, in the counters already.
  std::uint64_t counted_sent = 0;
};

template <class Connection>
class ConnectionList {
 public:
  // The two counters are the server's.
  ConnectionList(EventLoop& loop, ServerBudget& budget, std::uint64_t& bytes_received,
                 std::uint64_t& bytes_sent)
      : loop_(loop), budget_(budget), bytes_received_(bytes_received), bytes_sent_(bytes_sent) {}
  ~ConnectionList() { budget_.connections.fetch_sub(all_.size(), std::memory_order_relaxed); }
  ConnectionList(const ConnectionList&) = delete;
  ConnectionList& operator=(const ConnectionList&) = delete;

  // Room for one more, to be used by add() or given back; false when the process has `most`.
  bool reserve(std::size_t most) {
    const std::size_t others = budget_.connections.fetch_add(1, std::memory_order_relaxed);
    if (others >= most) give_back();
    return others < most;
  }
  void give_back() { budget_.connections.fetch_sub(1, std::memory_order_relaxed); }
  void add(std::unique_ptr<Connection> one) {
    one->entry.index = all_.size();
    all_.push_back(std::move(one));
  }
  // `next` goes on in the place of `one`, which is returned.
  std::unique_ptr<Connection> replace(Connection& one, std::unique_ptr<Connection> next) {
    count_bytes(one);
    next->entry.index = one.entry.index;
    return std::exchange(all_[one.entry.index], std::move(next));
  }

  void count_bytes(Connection& one) {
    const std::uint64_t received = one.stream().bytes_received();
    const std::uint64_t sent = one.stream().bytes_sent();
    bytes_received_ += received - std::exchange(one.entry.counted_received, received);
    bytes_sent_ += sent - std::exchange(one.entry.counted_sent, sent);
  }

  // Destroys it at the turn's end; false when it is none of these.
  bool forget(Connection& one) {
    const std::size_t index = one.entry.index;
    if (index >= all_.size() || all_[index].get() != &one) return false;
    count_bytes(one);
    std::swap(all_[index], all_.back());
    all_[index]->entry.index = index;
    loop_.destroy_later(std::move(all_.back()));
    all_.pop_back();
    give_back();
    return true;
  }

  // Tells all of them; `on_drained` runs once, when the last one is gone (maybe within this call).
  void drain(std::function<void()> on_drained) {
    // A connection that closes takes itself off the list.
    for (std::size_t i = all_.size(); i > 0; --i) all_[i - 1]->on_server_draining();
    on_drained_ = std::move(on_drained);
    tell_if_drained();
  }
  // Behind forget(), once the server's own figures are right.
  void tell_if_drained() {
    if (all_.empty() && on_drained_) std::exchange(on_drained_, nullptr)();
  }

  std::size_t size() const { return all_.size(); }
  const std::vector<std::unique_ptr<Connection>>& all() const { return all_; }

 private:
  EventLoop& loop_;
  ServerBudget& budget_;
  std::uint64_t& bytes_received_;
  std::uint64_t& bytes_sent_;
  std::function<void()> on_drained_;
  std::vector<std::unique_ptr<Connection>> all_;
};

}  // namespace fairlead::net
