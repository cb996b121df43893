// SPDX-License-Identifier: Apache-2.0
// KvSave: one save of the KV index, between the listener's thread, which writes it in slices
// between the events of engines, and the thread that brings the bytes to the disk. Both write to
// one RestartWriter, by turns: first the saver its own records, then the listener, then the saver
// again.
//
// Bounds: a few slices wait for the disk, then the listener waits with the next one. Whoever waits
// here gives up after kPatience. Threads: two, as the members say.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>

#include "base/time.h"
#include "core/codec/restart_file.h"

namespace fairlead::router {

class KvSave {
 public:
  static constexpr Duration kPatience = std::chrono::seconds(10);

  // `bytes_max` is for the whole file.
  explicit KvSave(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // The saver's. The number of the index's domains, once the places of the streams are noted; the
  // writer is the saver's then, until hand_over().
  std::optional<std::uint32_t> await_begun();
  void hand_over();
  // The next bytes. Nothing at the end, when the writer is the saver's again, and when it was given
  // up, which ended() tells apart.
  std::optional<std::string> await_bytes();
  // None: of the listener's bytes there are more to come, or to be taken. Cut: for want of room.
  enum class End : std::uint8_t { kNone, kWhole, kCut };
  End ended() const;
  void give_up();

  // The listener's.
  void begun(std::uint32_t domains);
  // Whether the next slice may be written now.
  bool may_write() const;
  bool given_up() const;
  bool full() const { return writer_.bytes() >= bytes_max_; }
  void flush();
  void finish(End end);

  codec::RestartWriter& writer() { return writer_; }

 private:
  static constexpr std::size_t kWaiting = 8;

  std::uint64_t bytes_max_;
  codec::RestartWriter writer_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::uint32_t> domains_;
  bool is_listeners_turn_ = false;
  bool given_up_ = false;
  std::deque<std::string> waiting_;
  End end_ = End::kNone;
};

}  // namespace fairlead::router
