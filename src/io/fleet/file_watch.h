// SPDX-License-Identifier: Apache-2.0
// FileWatch: calls back when a file's content may have changed: written, created, or renamed into
// place, as Kubernetes mounts and editors do. It watches the folder (inotify), so the file may be
// missing for a while, and other files of the folder make it call back too: compare what you read.
// Changes within kSettle are reported once. A folder that is itself replaced is not followed.
// Threads: the loop's thread. Source: inotify(7).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "io/net/event_loop.h"
#include "io/net/unique_fd.h"

namespace fairlead::fleet {

class FileWatch final : private net::FdHandler {
 public:
  static constexpr Duration kSettle = std::chrono::milliseconds(20);
  static constexpr std::size_t kFileBytesMax = std::size_t{4} << 20;

  static Result<std::unique_ptr<FileWatch>> create(net::EventLoop& loop, const std::string& path,
                                                   std::function<void()> on_change);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // The text of an ordinary file; an error when it is missing, unreadable or larger than bytes_max.
  static Result<std::string> read_file(const std::string& path,
                                       std::size_t bytes_max = kFileBytesMax);

 private:
  FileWatch(net::EventLoop& loop, net::UniqueFd inotify, std::function<void()> on_change);
  void on_events(std::uint32_t events) override;

  net::EventLoop& loop_;
  net::UniqueFd inotify_;
  net::Timer settle_;
};

}  // namespace fairlead::fleet
