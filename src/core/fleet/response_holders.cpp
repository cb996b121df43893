// SPDX-License-Identifier: Apache-2.0
#include "core/fleet/response_holders.h"

namespace fairlead::fleet {

std::span<ResponseHolders::Entry> ResponseHolders::ways(std::uint64_t id) {
  constexpr std::size_t kSets = kEntriesMax / kWays;
  // The lowest bit is always set.
  return std::span(entries_).subspan((id >> 1) % kSets * kWays, kWays);
}

void ResponseHolders::note(std::uint64_t id, model::EndpointRef endpoint, Time now) {
  if (entries_.empty()) entries_.resize(kEntriesMax);
  Entry* place = nullptr;
  for (Entry& entry : ways(id)) {
    if (entry.id == id) {
      place = &entry;
      break;
    }
    const bool better =
        place == nullptr || (place->id != 0 && (entry.id == 0 || entry.used < place->used));
    if (better) place = &entry;
  }
  if (place->id == 0) {
    ++figures_.held;
  } else if (place->id != id && now - place->used < kLifetime) {
    ++figures_.evicted;
  }
  *place = {id, endpoint, now};
}

std::optional<model::EndpointRef> ResponseHolders::find(std::uint64_t id, Time now) {
  if (entries_.empty()) return std::nullopt;
  for (Entry& entry : ways(id)) {
    if (entry.id != id) continue;
    if (now - entry.used >= kLifetime) return std::nullopt;
    entry.used = now;
    return entry.endpoint;
  }
  return std::nullopt;
}

}  // namespace fairlead::fleet
