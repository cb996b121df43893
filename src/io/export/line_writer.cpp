// SPDX-License-Identifier: Apache-2.0
#include "io/export/line_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace fairlead::exporting {

namespace {

Result<int> open_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd >= 0) return fd;
  return fail(ErrorCode::kIo, "cannot open {} for writing: {}", path, std::strerror(errno));
}

}  // namespace

Result<std::unique_ptr<LineWriter>> LineWriter::open(const std::string& path, Counter& dropped) {
  if (path == "-") {
    return std::unique_ptr<LineWriter>(
        new LineWriter(path, STDOUT_FILENO, Close::kBorrowed, dropped));
  }
  const auto fd = open_file(path);
  if (!fd) return tl::unexpected(fd.error());
  return std::unique_ptr<LineWriter>(new LineWriter(path, *fd, Close::kOwned, dropped));
}

Result<void> LineWriter::reopen() const {
  if (close_ == Close::kBorrowed) return {};
  const auto fd = open_file(path_);
  if (!fd) return tl::unexpected(fd.error());
  // Under the old number, so that the writing thread needs no word of it.
  ::dup3(*fd, fd_, O_CLOEXEC);
  ::close(*fd);
  return {};
}

LineWriter::LineWriter(std::string path, int fd, Close close, Counter& dropped)
    : path_(std::move(path)), fd_(fd), close_(close), dropped_(dropped), thread_([this] {
        run();
      }) {}

LineWriter::~LineWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  if (close_ == Close::kOwned) ::close(fd_);
}

void LineWriter::write(std::string_view line) {
  {
    const std::lock_guard lock(mutex_);
    if (queued_.size() + line.size() + 1 > kQueueBytes) {
      dropped_.add();
      return;
    }
    queued_.append(line);
    queued_.push_back('\n');
  }
  wake_.notify_one();
}

void LineWriter::run() {
  std::string taken;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queued_.empty(); });
    if (queued_.empty()) return;
    taken.clear();
    taken.swap(queued_);
    lock.unlock();
    write_out(taken);
    lock.lock();
  }
}

void LineWriter::write_out(std::string_view text) {
  bool mid_line = false;
  while (!text.empty()) {
    // A line that a full disk cut off must not swallow the one behind it.
    const std::string_view next = cut_off_ ? std::string_view("\n") : text;
    const ssize_t written = ::write(fd_, next.data(), next.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const auto lines = std::count(text.begin(), text.end(), '\n');
      dropped_.add(static_cast<std::uint64_t>(lines));
      cut_off_ = cut_off_ || mid_line;
      return;
    }
    if (std::exchange(cut_off_, false)) continue;
    text.remove_prefix(static_cast<std::size_t>(written));
    mid_line = !text.empty() && text.data()[-1] != '\n';
  }
}

}  // namespace fairlead::exporting
