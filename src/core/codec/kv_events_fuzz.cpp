// SPDX-License-Identifier: Apache-2.0
// Hostile bytes as a batch of KV-cache events: all that is given out lies within its bounds, and a
// batch that was read is read the same after it was written anew, in both encodings.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "core/codec/kv_events.h"
#include "core/codec/kv_events_writer.h"

namespace {

using namespace fairlead::codec;

// What the writer writes of an event of this kind.
bool same(const KvEvent& a, const KvEvent& b) {
  if (a.kind != b.kind || a.kind == KvEventKind::kCleared) return a.kind == b.kind;
  if (!std::ranges::equal(a.hashes, b.hashes) || a.medium != b.medium) return false;
  if (a.kind == KvEventKind::kRemoved) return true;
  return a.parent == b.parent && a.block_size == b.block_size && a.lora_name == b.lora_name &&
         std::ranges::equal(a.tokens, b.tokens);
}

std::size_t walk_extras(KvExtraKeys keys) {
  std::size_t steps = 0;
  KvExtraItem item;
  while (keys.next_block()) {
    ++steps;
    while (keys.next(item)) steps += 1 + item.text.size();
  }
  return steps;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view payload(reinterpret_cast<const char*>(data), size);
  KvEventDecoder decoder;
  KvBatch batch;
  if (const auto fault = decoder.decode(payload, batch)) {
    FAIRLEAD_ASSERT(fault->offset <= size);
    FAIRLEAD_ASSERT(batch.events.empty());
    return 0;
  }
  for (const KvEncoding encoding : {KvEncoding::kMaps, KvEncoding::kArrays}) {
    KvEventsWriter writer(encoding);
    for (const KvEvent& event : batch.events) {
      FAIRLEAD_ASSERT(event.hashes.size() + event.tokens.size() <= size);
      FAIRLEAD_ASSERT(walk_extras(event.extra_keys) <= 2 * size);
      writer.add(event);
    }
    std::string again;
    writer.finish(batch.timestamp, batch.rank, again);
    KvEventDecoder second;
    KvBatch copy;
    FAIRLEAD_ASSERT(!second.decode(again, copy));
    FAIRLEAD_ASSERT(copy.rank == batch.rank && copy.unknown_events == 0);
    FAIRLEAD_ASSERT(std::ranges::equal(batch.events, copy.events, same));
  }
  return 0;
}
