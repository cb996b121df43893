// SPDX-License-Identifier: Apache-2.0
// A fuzzer with a planted bug: a read one past the end, behind four bytes that only coverage
// feedback finds. tools/fuzz runs it first; a rig that misses it would miss real bugs too.
#include <cstddef>
#include <cstdint>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4 || data[0] != 'P' || data[1] != 'I' || data[2] != 'C' || data[3] != 'K') return 0;
  const std::vector<std::uint8_t> copy(data, data + size);
  const volatile std::uint8_t* bytes = copy.data();
  return bytes[size] == 0 ? 0 : -1;
}
