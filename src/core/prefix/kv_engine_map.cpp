// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_engine_map.h"

#include "base/random.h"

namespace fairlead::prefix {

namespace {
constexpr auto kRelaxed = std::memory_order_relaxed;
}  // namespace

KvEngineMap::KvEngineMap(std::uint64_t seed, KvMemory& memory, KvBlocks& blocks)
    : blocks_(blocks),
      secret_(mix64(seed ^ 0x6a09e667f3bcc909)),
      multiplier_(mix64(seed ^ 0xbb67ae8584caa73b) | 1),
      entries_(memory),
      aliases_(memory),
      records_(memory) {}

KvLocation KvEngineMap::find_alias(std::uint64_t key) const {
  const std::uint32_t id = aliases_.find(mixed(key), [this, key](std::uint32_t candidate) {
    return records_[candidate].key.load(kRelaxed) == key;
  });
  return id == 0 ? 0 : records_[id].at;
}

void KvEngineMap::add_alias(std::uint64_t key, KvLocation at) {
  const std::uint32_t id = records_.allocate();
  records_[id].key.store(key, kRelaxed);
  attach(id, at);
  aliases_.insert(mixed(key), id);
}

void KvEngineMap::drop_aliases(std::uint32_t chunk, std::uint32_t first, std::uint32_t end) {
  for (std::uint32_t id = blocks_.info(chunk).alias; id != 0;) {
    const std::uint32_t next = records_[id].next;
    const std::uint32_t index = index_in(records_[id].at);
    if (index >= first && index < end) {
      aliases_.erase(mixed(records_[id].key.load(kRelaxed)), id);
      detach(id);
      records_.release(id);
    }
    id = next;
  }
}

void KvEngineMap::move_aliases(std::uint32_t from, std::uint32_t to, std::uint32_t first) {
  for (std::uint32_t id = blocks_.info(from).alias; id != 0;) {
    const std::uint32_t next = records_[id].next;
    const std::uint32_t index = index_in(records_[id].at);
    if (index >= first) {
      detach(id);
      attach(id, location_of(to, index));
    }
    id = next;
  }
}

void KvEngineMap::attach(std::uint32_t id, KvLocation at) {
  KvChunkInfo& info = blocks_.info(chunk_in(at));
  Alias& alias = records_[id];
  alias.at = at;
  alias.previous = 0;
  alias.next = info.alias;
  if (info.alias != 0) records_[info.alias].previous = id;
  info.alias = id;
  ++info.aliases;
}

void KvEngineMap::detach(std::uint32_t id) {
  const Alias& alias = records_[id];
  --blocks_.info(chunk_in(alias.at)).aliases;
  if (alias.next != 0) records_[alias.next].previous = alias.previous;
  if (alias.previous != 0) {
    records_[alias.previous].next = alias.next;
  } else {
    blocks_.info(chunk_in(alias.at)).alias = alias.next;
  }
}

}  // namespace fairlead::prefix
