// SPDX-License-Identifier: Apache-2.0
// NaivePool: the rules of BlockPool written the slow, obvious way, to compare with in tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <vector>

#include "lab/engine/model/block_pool.h"

namespace fairlead::engine::testing {

class NaivePool {
 public:
  explicit NaivePool(std::uint32_t blocks) : holders_(blocks, 0) {
    for (std::uint32_t block = 0; block < blocks; ++block) free_.push_back(block);
  }
  std::size_t free() const { return free_.size(); }
  bool held(std::uint32_t block) const { return holders_[block] > 0; }
  std::uint32_t find(std::uint64_t hash) const {
    const auto copies = copies_.find(hash);
    return copies == copies_.end() ? BlockPool::kNone : copies->second.front();
  }
  std::uint32_t allocate() {
    const std::uint32_t block = free_.front();
    free_.erase(free_.begin());
    for (auto entry = copies_.begin(); entry != copies_.end();) {
      std::erase(entry->second, block);
      entry = entry->second.empty() ? copies_.erase(entry) : std::next(entry);
    }
    holders_[block] = 1;
    return block;
  }
  void hold(std::uint32_t block) {
    if (holders_[block]++ == 0) std::erase(free_, block);
  }
  void publish(std::uint32_t block, std::uint64_t hash) { copies_[hash].push_back(block); }
  void release_tail_first(const std::vector<std::uint32_t>& blocks) {
    for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
      if (--holders_[*block] == 0) free_.push_back(*block);
    }
  }

 private:
  std::vector<std::uint32_t> free_;
  std::vector<int> holders_;
  std::map<std::uint64_t, std::vector<std::uint32_t>> copies_;
};

}  // namespace fairlead::engine::testing
