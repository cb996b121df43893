// SPDX-License-Identifier: Apache-2.0
// LineWriter: appends lines to a file or standard output from a thread of its own, so that the
// threads that produce them never wait for a disk. The queue is bounded in bytes; lines that do
// not fit, or that the file refuses, are dropped and counted.
// Threads: write() from any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/metrics.h"
#include "base/result.h"

namespace fairlead::exporting {

class LineWriter {
 public:
  static constexpr std::size_t kQueueBytes = std::size_t{8} << 20;

  // "-" is standard output; another path is opened for appending and created when missing.
  // Lines that are lost count in `dropped`, which outlives the writer.
  static Result<std::unique_ptr<LineWriter>> open(const std::string& path, Counter& dropped);
  // Writes what is queued, then ends.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // Goes on in the file that has the path now, for one that was rotated away. After an error the
  // old file stays in use. From any thread.
  [[nodiscard]] Result<void> reopen() const;

  // `line` has no line end.
  void write(std::string_view line);

 private:
  enum class Close : std::uint8_t { kOwned, kBorrowed };
  LineWriter(std::string path, int fd, Close close, Counter& dropped);
  void run();
  void write_out(std::string_view text);

  std::string path_;
  int fd_;
  Close close_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string queued_;     // Guarded by mutex_.
  bool stopping_ = false;  // Guarded by mutex_.
  Counter& dropped_;
  bool cut_off_ = false;  // The file ends in a part of a dropped line. Owned by thread_.
  std::thread thread_;
};

}  // namespace fairlead::exporting
