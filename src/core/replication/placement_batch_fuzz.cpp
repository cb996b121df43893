// SPDX-License-Identifier: Apache-2.0
// A batch that is read is written back the same, and takes no more memory than its own size.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "core/replication/placement_batch.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fairlead::replication;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  PlacementReader reader;
  if (reader.read(bytes) != BatchFault::kNone) {
    FAIRLEAD_ASSERT(reader.placements().empty());
    return 0;
  }
  PlacementWriter writer;
  std::size_t keys = 0;
  for (const Placement& placement : reader.placements()) {
    FAIRLEAD_ASSERT(writer.add(placement));
    keys += placement.keys.size();
  }
  FAIRLEAD_ASSERT(keys <= size / sizeof(std::uint64_t));
  FAIRLEAD_ASSERT(writer.finish(reader.head()) == bytes);
  return 0;
}
