// SPDX-License-Identifier: Apache-2.0
// How much memory a part of a pooled request keeps of each of its buffers for the next request:
// what most requests need is kept, so that they allocate nothing; what one large request took goes
// back. Threads: pure functions.
#pragma once

#include <cstddef>

namespace fairlead::exchange {

inline constexpr std::size_t kKeptBytesMax = 16 * 1024;

// `buffer`: a string or vector.
template <typename Buffer>
void give_back_excess(Buffer& buffer) {
  if (buffer.capacity() * sizeof(typename Buffer::value_type) <= kKeptBytesMax) return;
  Buffer().swap(buffer);
}

template <typename Buffer>
void clear_kept(Buffer& buffer) {
  buffer.clear();
  give_back_excess(buffer);
}

}  // namespace fairlead::exchange
