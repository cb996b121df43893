// SPDX-License-Identifier: Apache-2.0
#include "io/fleet/watched_files.h"

#include <algorithm>
#include <utility>

namespace fairlead::fleet {
namespace {

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

bool are_equal(const Result<std::string>& one, const Result<std::string>& other) {
  if (one.has_value() != other.has_value()) return false;
  return one ? *one == *other : one.error().message == other.error().message;
}

}  // namespace

WatchedFiles::WatchedFiles(std::vector<std::string> paths, std::function<void()> on_change)
    : paths_(std::move(paths)), on_change_(std::move(on_change)) {}

Result<std::unique_ptr<WatchedFiles>> WatchedFiles::open(net::EventLoop& loop,
                                                         std::vector<std::string> paths,
                                                         std::function<void()> on_change) {
  std::unique_ptr<WatchedFiles> files(new WatchedFiles(std::move(paths), std::move(on_change)));
  std::vector<std::string> folders;
  // Watched before they are read, or a change in between would go unseen.
  for (const std::string& path : files->paths_) {
    const std::string folder = folder_of(path);
    if (std::ranges::find(folders, folder) != folders.end()) continue;
    folders.push_back(folder);
    auto watch = FileWatch::create(loop, path, [raw = files.get()] { raw->look(); });
    if (!watch) return tl::unexpected(watch.error());
    files->watches_.push_back(std::move(*watch));
  }
  for (const std::string& path : files->paths_) {
    files->texts_.push_back(FileWatch::read_file(path));
  }
  return files;
}

// Other files of a folder change too, and one problem is told once.
void WatchedFiles::look() {
  bool changed = false;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    auto text = FileWatch::read_file(paths_[i]);
    changed = changed || !are_equal(text, texts_[i]);
    texts_[i] = std::move(text);
  }
  if (changed) on_change_();
}

}  // namespace fairlead::fleet
