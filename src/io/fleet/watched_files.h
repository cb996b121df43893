// SPDX-License-Identifier: Apache-2.0
// WatchedFiles: some files' texts, read again when their folders change; it calls back when a text,
// or the reason why there is none, is another than before.
//
//   auto files = WatchedFiles::open(loop, {path}, [this] { on_change(); });
//   (*files)->text(0)   // A Result: the file may be missing or too large (FileWatch::read_file).
//
// Files that change together, as a certificate and its key beside it do, are reported once.
// Errors: open() fails when a folder cannot be watched. Threads: the loop's thread; the callback
// must not destroy the object.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/fleet/file_watch.h"
#include "io/net/event_loop.h"

namespace fairlead::fleet {

class WatchedFiles {
 public:
  static Result<std::unique_ptr<WatchedFiles>> open(net::EventLoop& loop,
                                                    std::vector<std::string> paths,
                                                    std::function<void()> on_change);

  const std::string& path(std::size_t file) const { return paths_[file]; }
  // As last read.
  const Result<std::string>& text(std::size_t file) const { return texts_[file]; }

 private:
  WatchedFiles(std::vector<std::string> paths, std::function<void()> on_change);
  void look();

  std::vector<std::string> paths_;
  std::vector<Result<std::string>> texts_;
  std::function<void()> on_change_;
  std::vector<std::unique_ptr<FileWatch>> watches_;  // A folder each.
};

}  // namespace fairlead::fleet
