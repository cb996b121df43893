// SPDX-License-Identifier: Apache-2.0
// What of a RoutedHistory outlives the process.
#include <algorithm>
#include <unordered_map>

#include "base/assert.h"
#include "core/codec/restart_file.h"
#include "core/prefix/routed_history.h"

namespace fairlead::prefix {

void RoutedHistory::save(std::uint32_t slot, std::size_t blocks_max,
                         codec::RestartHistory& out) const {
  out.stretches.clear();
  out.keys.clear();
  if (slot >= endpoints_.size()) return;
  std::vector<std::uint32_t> links;  // From the oldest on.
  for (std::uint32_t link = recency_.oldest(slot); link != kNoLink; link = recency_.newer(link)) {
    links.push_back(link);
  }
  // Whoever holds a run holds what is before it, and used that later.
  std::unordered_map<std::uint32_t, std::uint32_t> places;
  for (auto link = links.rbegin(); link != links.rend(); ++link) {
    const std::uint32_t id = recency_.run(*link);
    const Run& run = runs_[id];
    const auto holders = run.holders.view();
    const auto holder = std::ranges::lower_bound(holders, slot, {}, &Holder::slot);
    FAIRLEAD_DEBUG_ASSERT(holder != holders.end() && holder->slot == slot);
    if (out.keys.size() + holder->held > blocks_max) return;
    places.emplace(id, static_cast<std::uint32_t>(out.stretches.size()));
    out.stretches.push_back(
        {run.parent == kNoRun ? codec::kRestartNone : places.at(run.parent), holder->held});
    out.keys.insert(out.keys.end(), run.keys.get(), run.keys.get() + holder->held);
  }
}

void RoutedHistory::restore(std::uint32_t slot, const codec::RestartHistory& saved) {
  std::vector<std::size_t> begins;
  std::size_t begin = 0;
  for (const codec::RestartHistory::Stretch& stretch : saved.stretches) {
    begins.push_back(begin);
    begin += stretch.blocks;
  }
  FAIRLEAD_ASSERT(begin == saved.keys.size());
  std::vector<std::uint64_t> prompt;
  std::vector<std::size_t> path;
  for (std::size_t i = saved.stretches.size(); i > 0;) {
    --i;
    // Its child was recorded a moment ago, and this with it.
    if (i + 1 < saved.stretches.size() && saved.stretches[i + 1].parent == i) continue;
    path.clear();
    for (std::size_t at = i;; at = saved.stretches[at].parent) {
      path.push_back(at);
      if (saved.stretches[at].parent == codec::kRestartNone) break;
      FAIRLEAD_ASSERT(saved.stretches[at].parent < at);
    }
    prompt.clear();
    for (auto at = path.rbegin(); at != path.rend(); ++at) {
      const auto first = saved.keys.begin() + static_cast<std::ptrdiff_t>(begins[*at]);
      prompt.insert(prompt.end(), first, first + saved.stretches[*at].blocks);
    }
    record(slot, prompt);
  }
}

}  // namespace fairlead::prefix
