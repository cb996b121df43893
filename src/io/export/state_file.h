// SPDX-License-Identifier: Apache-2.0
// StateFile: one file of state in a directory that one process at a time uses. It is replaced whole
// or not at all: what is written goes to a file beside it, which takes its name once it is on the
// disk. Both have mode 0600; `lock` beside them is what the process holds.
//
// Errors: kIo with the path and the system's words; kUnavailable: another process has the
// directory. A crash leaves the last whole file, and perhaps a part beside it that the next write
// replaces. Blocks for the disk: not for a loop's thread. Threads: one at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fairlead::exporting {

class StateFile {
 public:
  // The directory exists and can be written to.
  static Result<std::unique_ptr<StateFile>> open(const std::string& directory,
                                                 std::string_view name);
  // Drops what was not committed.
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  const std::string& path() const { return path_; }

  // The whole file; nothing where there is none. A file of more bytes, of another user or that
  // everybody may read or write is an error.
  Result<std::optional<std::string>> read(std::size_t bytes_max) const;

  // A new version: begin(), append() as often as wanted, and commit(). After an error: begin()
  // anew.
  [[nodiscard]] Result<void> begin();
  [[nodiscard]] Result<void> append(std::string_view bytes);
  [[nodiscard]] Result<void> commit();

 private:
  StateFile(std::string directory, std::string_view name, int lock);
  Result<void> failed(std::string_view did, const std::string& path);

  std::string directory_;
  std::string path_;
  std::string part_;
  int lock_;
  int fd_ = -1;
};

}  // namespace fairlead::exporting
