// SPDX-License-Identifier: Apache-2.0
// RunMap: (first key of a run, parent run) -> run, for all runs of a trie in one table. Open
// addressing with linear probing and backward-shift deletion; the load stays at or below 5/8, and
// the table never shrinks. Keys are already hashes, the parent only tells apart keys that break the
// chaining rule. Threads: thread-compatible. Allocates only in insert().
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fairlead::prefix {

// No run: an absent entry, and the parent of the runs at the root.
inline constexpr std::uint32_t kNoRun = 0xffffffff;

class RunMap {
 public:
  RunMap();

  // kNoRun if absent.
  std::uint32_t find(std::uint64_t key, std::uint32_t parent) const;
  // The entry must be absent.
  void insert(std::uint64_t key, std::uint32_t parent, std::uint32_t run);
  // The entry must be present.
  void replace(std::uint64_t key, std::uint32_t parent, std::uint32_t run);
  void erase(std::uint64_t key, std::uint32_t parent);

  std::size_t size() const { return size_; }
  std::size_t bytes() const { return cells_.capacity() * sizeof(Cell); }

 private:
  struct Cell {
    std::uint64_t key = 0;
    std::uint32_t parent = 0;
    std::uint32_t run = kNoRun;
  };

  std::size_t home(std::uint64_t key) const;
  std::size_t locate(std::uint64_t key, std::uint32_t parent) const;
  void place(const Cell& cell);
  void grow();

  std::vector<Cell> cells_;
  std::size_t size_ = 0;
  int shift_;  // 64 minus log2 of the number of cells.
};

}  // namespace fairlead::prefix
