// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_copies.h"

#include <bit>
#include <cstdlib>

#include "base/assert.h"
#include "base/random.h"

namespace fairlead::prefix {

void KvCopies::Free::operator()(Record* records) const { std::free(records); }

KvCopies::KvCopies(std::uint32_t records)
    : mask_(std::bit_ceil(records) - 1),
      records_(static_cast<Record*>(std::calloc(std::bit_ceil(records), sizeof(Record)))) {
  FAIRLEAD_ASSERT(records_ != nullptr);
}

std::uint32_t KvCopies::home(std::uint16_t slot, std::uint64_t key) const {
  return static_cast<std::uint32_t>(mix64(key + slot)) & mask_;
}

// Its place, or the empty one where it would be.
std::uint32_t KvCopies::locate(std::uint16_t slot, std::uint64_t key) const {
  std::uint32_t at = home(slot, key);
  while (records_[at].extra != 0 && (records_[at].key != key || records_[at].slot != slot)) {
    at = (at + 1) & mask_;
  }
  return at;
}

KvCopies::Added KvCopies::add(std::uint16_t slot, std::uint64_t key, std::uint32_t extra_max) {
  Record& record = records_[locate(slot, key)];
  if (record.extra >= extra_max) return Added::kRefused;
  if (record.extra > 0) {
    ++record.extra;
    return Added::kMore;
  }
  if (used_ >= mask_ / 4 * 3) return Added::kRefused;
  record = {.key = key, .slot = slot, .extra = 1};
  ++used_;
  return Added::kFirst;
}

KvCopies::Taken KvCopies::take(std::uint16_t slot, std::uint64_t key) {
  const std::uint32_t at = locate(slot, key);
  if (records_[at].extra == 0) return Taken::kNone;
  if (--records_[at].extra > 0) return Taken::kMore;
  records_[at].extra = 1;
  erase(at);
  return Taken::kLast;
}

KvCopies::Dropped KvCopies::drop(std::uint16_t slot, std::uint64_t key) {
  const std::uint32_t at = locate(slot, key);
  if (records_[at].extra == 0) return Dropped::kNone;
  erase(at);
  return Dropped::kSome;
}

// Moves those behind into the gap whose way leads over it.
void KvCopies::erase(std::uint32_t at) {
  std::uint32_t gap = at;
  for (std::uint32_t i = (gap + 1) & mask_; records_[i].extra != 0; i = (i + 1) & mask_) {
    const std::uint32_t from = home(static_cast<std::uint16_t>(records_[i].slot), records_[i].key);
    if (((i - from) & mask_) < ((i - gap) & mask_)) continue;
    records_[gap] = records_[i];
    gap = i;
  }
  records_[gap].extra = 0;
  --used_;
}

}  // namespace fairlead::prefix
