// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/run_map.h"

#include <utility>

#include "base/assert.h"

namespace fairlead::prefix {
namespace {

constexpr int kFirstLog2 = 6;

}  // namespace

RunMap::RunMap() : cells_(std::size_t{1} << kFirstLog2), shift_(64 - kFirstLog2) {}

std::size_t RunMap::home(std::uint64_t key) const {
  // Fibonacci hashing: the high bits stay well spread for any kind of key.
  return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15ULL) >> shift_);
}

// The cell of the entry, or the empty cell that ends its probe sequence.
std::size_t RunMap::locate(std::uint64_t key, std::uint32_t parent) const {
  const std::size_t mask = cells_.size() - 1;
  std::size_t at = home(key);
  while (cells_[at].run != kNoRun && (cells_[at].key != key || cells_[at].parent != parent)) {
    at = (at + 1) & mask;
  }
  return at;
}

std::uint32_t RunMap::find(std::uint64_t key, std::uint32_t parent) const {
  return cells_[locate(key, parent)].run;
}

void RunMap::insert(std::uint64_t key, std::uint32_t parent, std::uint32_t run) {
  if ((size_ + 1) * 8 > cells_.size() * 5) grow();
  place({key, parent, run});
  ++size_;
}

void RunMap::place(const Cell& cell) {
  Cell& target = cells_[locate(cell.key, cell.parent)];
  FAIRLEAD_DEBUG_ASSERT(target.run == kNoRun);
  target = cell;
}

void RunMap::replace(std::uint64_t key, std::uint32_t parent, std::uint32_t run) {
  Cell& target = cells_[locate(key, parent)];
  FAIRLEAD_ASSERT(target.run != kNoRun);
  target.run = run;
}

void RunMap::erase(std::uint64_t key, std::uint32_t parent) {
  const std::size_t mask = cells_.size() - 1;
  std::size_t hole = locate(key, parent);
  FAIRLEAD_ASSERT(cells_[hole].run != kNoRun);
  // Close the gap: a later cell moves into the hole unless its home lies after the hole.
  for (std::size_t at = (hole + 1) & mask; cells_[at].run != kNoRun; at = (at + 1) & mask) {
    const std::size_t displacement = (at - home(cells_[at].key)) & mask;
    if (displacement >= ((at - hole) & mask)) {
      cells_[hole] = cells_[at];
      hole = at;
    }
  }
  cells_[hole] = Cell{};
  --size_;
}

void RunMap::grow() {
  std::vector<Cell> old(cells_.size() * 2);
  std::swap(old, cells_);
  --shift_;
  for (const Cell& cell : old) {
    if (cell.run != kNoRun) place(cell);
  }
}

}  // namespace fairlead::prefix
