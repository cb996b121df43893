// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_index.h"

#include <algorithm>

#include "base/mutant.h"
#include "core/prefix/kv_lane.h"

namespace fairlead::prefix {

KvIndex::KvIndex(std::span<const KvLane* const> lanes) : lanes_(lanes.begin(), lanes.end()) {
  for (const KvLane* lane : lanes_) {
    first_rows_.push_back(rows_);
    rows_ += lane->slots_max();
  }
}

KvLookup KvIndex::match(std::span<const std::uint64_t> keys, std::span<KvDepth> depths) const {
  KvLookup lookup;
  for (std::size_t i = 0; i < lanes_.size() && first_rows_[i] < depths.size(); ++i) {
    const std::span<KvDepth> rest = depths.subspan(first_rows_[i]);
    lanes_[i]->match(keys, rest.first(std::min<std::size_t>(rest.size(), lanes_[i]->slots_max())),
                     lookup);
  }
  for (KvDepth& depth : depths) {
    if (planted(Mutant::kDepthPlusOne) && depth > 0 && depth < keys.size()) ++depth;
    if (planted(Mutant::kDepthMinusOne) && depth > 0) --depth;
  }
  return lookup;
}

}  // namespace fairlead::prefix
