// SPDX-License-Identifier: Apache-2.0
#include "io/fleet/file_watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace fairlead::fleet {

Result<std::unique_ptr<FileWatch>> FileWatch::create(net::EventLoop& loop, const std::string& path,
                                                     std::function<void()> on_change) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  net::UniqueFd inotify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify.valid()) {
    return fail(ErrorCode::kIo, "cannot watch {}: {}", path, std::strerror(errno));
  }
  // Kubernetes replaces a symbolic link beside the file, so every name in the folder counts.
  constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE;
  if (::inotify_add_watch(inotify.get(), folder.c_str(), kEvents) < 0) {
    return fail(ErrorCode::kIo, "cannot watch the folder {}: {}", folder, std::strerror(errno));
  }
  std::unique_ptr<FileWatch> watch(new FileWatch(loop, std::move(inotify), std::move(on_change)));
  auto added = loop.add(watch->inotify_.get(), EPOLLIN, *watch);
  if (!added) return tl::unexpected(added.error());
  return watch;
}

FileWatch::FileWatch(net::EventLoop& loop, net::UniqueFd inotify, std::function<void()> on_change)
    : loop_(loop), inotify_(std::move(inotify)), settle_(loop, std::move(on_change)) {}

FileWatch::~FileWatch() { loop_.remove(inotify_.get(), *this); }

void FileWatch::on_events(std::uint32_t) {
  alignas(inotify_event) char buffer[4096];
  while (::read(inotify_.get(), buffer, sizeof buffer) > 0) {
  }
  // Not anew for each event, or a busy folder would put the report off for ever.
  if (!settle_.armed()) settle_.arm(kSettle);
}

Result<std::string> FileWatch::read_file(const std::string& path, std::size_t bytes_max) {
  // A pipe would make open() wait for somebody who writes to it.
  const net::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat about{};
  if (!file.valid() || ::fstat(file.get(), &about) != 0) {
    return fail(ErrorCode::kIo, "cannot read {}: {}", path, std::strerror(errno));
  }
  if (!S_ISREG(about.st_mode)) {
    return fail(ErrorCode::kIo, "cannot read {}: it is no ordinary file", path);
  }
  std::string text;
  std::array<char, 64 * 1024> piece;
  while (true) {
    const ssize_t got = ::read(file.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(ErrorCode::kIo, "cannot read {}: {}", path, std::strerror(errno));
    if (got == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(got));
    if (text.size() > bytes_max) {
      return fail(ErrorCode::kLimitExceeded, "{} is larger than {} bytes", path, bytes_max);
    }
  }
}

}  // namespace fairlead::fleet
