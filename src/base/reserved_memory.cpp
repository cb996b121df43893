// SPDX-License-Identifier: Apache-2.0
#include "base/reserved_memory.h"

#include <sys/mman.h>

#include <cstdint>

#include "base/assert.h"

namespace fairlead {

namespace {
constexpr int kCollapse = 25;  // MADV_COLLAPSE of Linux 6.1, which older C libraries do not name.
}

ReservedMemory::ReservedMemory(std::size_t bytes)
    : mapped_bytes_(bytes + kHugePage),
      mapped_(::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
  FAIRLEAD_ASSERT(mapped_ != MAP_FAILED);
  const auto address = reinterpret_cast<std::uintptr_t>(mapped_);
  data_ = static_cast<std::byte*>(mapped_) + (kHugePage - address % kHugePage) % kHugePage;
}

ReservedMemory::~ReservedMemory() { ::munmap(mapped_, mapped_bytes_); }

void ReservedMemory::join_pages(std::size_t offset) const {
  // What it returns does not matter: pages that stay small are only slower.
  static_cast<void>(::madvise(data_ + offset, kHugePage, kCollapse));
}

}  // namespace fairlead
