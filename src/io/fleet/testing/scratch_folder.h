// SPDX-License-Identifier: Apache-2.0
// ScratchFolder: for tests: a folder of its own that disappears with the object.
// Errors: asserted. Threads: one.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/assert.h"

namespace fairlead::fleet::testing {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "fairlead-XXXXXX").string();
    FAIRLEAD_ASSERT(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  std::string file(std::string_view name) const { return (path_ / name).string(); }
  void write(std::string_view name, std::string_view text) const {
    std::ofstream out(path_ / name, std::ios::binary | std::ios::trunc);
    out << text;
    out.close();
    FAIRLEAD_ASSERT(out.good());
  }
  // As editors and deployment tools do: written beside, then renamed over it.
  void replace(std::string_view name, std::string_view text) const {
    write(std::string(name) + ".new", text);
    std::filesystem::rename(path_ / (std::string(name) + ".new"), path_ / name);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace fairlead::fleet::testing
