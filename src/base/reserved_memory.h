// SPDX-License-Identifier: Apache-2.0
// ReservedMemory: a stretch of address space that never moves, zeroed, of which only touched pages
// take memory. It costs one call to the system in all, so whoever grows inside it never waits for
// the system's allocator. Running out ends the process, as in operator new. Threads: the owner's.
#pragma once

#include <cstddef>

namespace fairlead {

class ReservedMemory {
 public:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;

  explicit ReservedMemory(std::size_t bytes);
  ~ReservedMemory();
  ReservedMemory(const ReservedMemory&) = delete;
  ReservedMemory& operator=(const ReservedMemory&) = delete;

  // Begins at a multiple of kHugePage.
  std::byte* data() const { return data_; }
  // Asks that the kHugePage bytes from `offset` on become one page, which spares who reads them at
  // random most of the address translation. Some 100 us; other threads that touch them wait. The
  // system may refuse, then nothing changes.
  void join_pages(std::size_t offset) const;

 private:
  std::size_t mapped_bytes_;
  void* mapped_;
  std::byte* data_;
};

}  // namespace fairlead
