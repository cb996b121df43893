// SPDX-License-Identifier: Apache-2.0
#include "io/export/state_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace fairlead::exporting {
namespace {

constexpr mode_t kPrivate = 0600;

// A descriptor that closes itself.
struct Descriptor {
  explicit Descriptor(int number) : fd(number) {}
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd;
};

}  // namespace

Result<std::unique_ptr<StateFile>> StateFile::open(const std::string& directory,
                                                   std::string_view name) {
  const std::string lock = directory + "/lock";
  const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kPrivate);
  if (fd < 0) return fail(ErrorCode::kIo, "cannot write {}: {}", lock, std::strerror(errno));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int why = errno;
    ::close(fd);
    if (why == EWOULDBLOCK) {
      return fail(ErrorCode::kUnavailable, "{} is in use by another process; give each its own",
                  directory);
    }
    return fail(ErrorCode::kIo, "cannot lock {}: {}", lock, std::strerror(why));
  }
  return std::unique_ptr<StateFile>(new StateFile(directory, name, fd));
}

StateFile::StateFile(std::string directory, std::string_view name, int lock)
    : directory_(std::move(directory)),
      path_(directory_ + "/" + std::string(name)),
      part_(path_ + ".part"),
      lock_(lock) {}

StateFile::~StateFile() {
  if (fd_ >= 0) {
    ::close(fd_);
    ::unlink(part_.c_str());
  }
  ::close(lock_);
}

Result<std::optional<std::string>> StateFile::read(std::size_t bytes_max) const {
  const Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.fd < 0 && errno == ENOENT) return std::optional<std::string>();
  struct stat about{};
  if (file.fd < 0 || ::fstat(file.fd, &about) != 0) {
    return fail(ErrorCode::kIo, "cannot read {}: {}", path_, std::strerror(errno));
  }
  if (!S_ISREG(about.st_mode)) return fail(ErrorCode::kIo, "{} is no plain file", path_);
  if (about.st_uid != ::geteuid() || (about.st_mode & S_IRWXO) != 0) {
    return fail(ErrorCode::kIo, "{} is another user's, or everybody's; it must be private", path_);
  }
  const auto size = static_cast<std::size_t>(about.st_size);
  if (size > bytes_max) {
    return fail(ErrorCode::kLimitExceeded, "{} has {} bytes, more than {}", path_, size, bytes_max);
  }
  std::string bytes(size, '\0');
  for (std::size_t at = 0; at < size;) {
    const ssize_t got = ::read(file.fd, bytes.data() + at, size - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(ErrorCode::kIo, "cannot read {}: {}", path_, std::strerror(errno));
    if (got == 0) {
      bytes.resize(at);
      break;
    }
    at += static_cast<std::size_t>(got);
  }
  return std::optional(std::move(bytes));
}

Result<void> StateFile::failed(std::string_view did, const std::string& path) {
  const int why = errno;
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  ::unlink(part_.c_str());
  return fail(ErrorCode::kIo, "cannot {} {}: {}", did, path, std::strerror(why));
}

Result<void> StateFile::begin() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  ::unlink(part_.c_str());
  fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kPrivate);
  if (fd_ < 0) return failed("write", part_);
  return {};
}

Result<void> StateFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return failed("write", part_);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

Result<void> StateFile::commit() {
  if (::fsync(fd_) != 0) return failed("flush", part_);
  ::close(std::exchange(fd_, -1));
  if (::rename(part_.c_str(), path_.c_str()) != 0) return failed("replace", path_);
  // The new name is to be on the disk too.
  const Descriptor directory(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd < 0 || ::fsync(directory.fd) != 0) return failed("flush", directory_);
  return {};
}

}  // namespace fairlead::exporting
