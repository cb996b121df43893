// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_saved.h"

#include <algorithm>

namespace fairlead::prefix {
namespace {

// slots[s] becomes the slot that holds what slot s held.
KvSavedPublisher open_saved(const codec::RestartPublisher& one, KvLane& lane,
                            std::vector<std::uint32_t>& slots) {
  KvSavedPublisher saved;
  saved.stream = {one.next, one.witness, one.complete};
  saved.feed.block_tokens = one.block_tokens;
  saved.feed.settled = one.settled;
  if (one.domain != codec::kRestartNone) saved.feed.domain = one.domain;
  for (const codec::RestartPublisher::Group& group : one.groups) {
    using Kind = KvFeed::Group::Kind;
    saved.feed.groups.push_back({group.number, group.kind == 0 ? Kind::kMain : Kind::kOther});
  }
  for (std::size_t tier = 0; tier < std::min(one.slots.size(), kKvTiers); ++tier) {
    const std::uint32_t old = one.slots[tier];
    if (old == codec::kRestartNone) continue;
    const bool is_known = old < slots.size() && slots[old] == KvLane::kNoSlot && saved.feed.domain;
    if (is_known) saved.feed.slots[tier] = lane.open(*saved.feed.domain);
    if (saved.feed.slots[tier]) {
      slots[old] = *saved.feed.slots[tier];
    } else {
      saved.stream = {};  // What it held there is not kept, so that all is to be told anew.
    }
  }
  return saved;
}

}  // namespace

KvSavedPublisher save_publisher(const KvFeed& feed, const SavedStream& begun, std::uint64_t next) {
  KvSavedPublisher saved{feed.save(), begun};
  saved.feed.settled = std::max(next, saved.feed.settled);
  return saved;
}

codec::RestartPublisher to_record(const KvSavedPublisher& saved) {
  codec::RestartPublisher out;
  out.next = saved.stream.next;
  out.witness = saved.stream.witness;
  out.complete = saved.stream.complete;
  out.settled = saved.feed.settled;
  for (const auto& slot : saved.feed.slots) {
    out.slots.push_back(slot ? *slot : codec::kRestartNone);
  }
  for (const KvFeed::Group& group : saved.feed.groups) {
    out.groups.push_back({group.number, static_cast<std::uint8_t>(group.kind)});
  }
  out.block_tokens = saved.feed.block_tokens;
  out.domain = saved.feed.domain.value_or(codec::kRestartNone);
  return out;
}

void save_domains(const KvFeedContext& context, KvDomain below, codec::RestartWriter& writer) {
  for (const auto& [hashes, domain] : context.domains()) {
    if (domain >= below) continue;
    const auto algorithm = std::ranges::find(kVllmHashAlgorithms, hashes.algorithm);
    writer.add(codec::RestartDomain{
        static_cast<std::uint32_t>(algorithm - kVllmHashAlgorithms.begin()), hashes.seed, domain});
  }
}

std::vector<KvSavedPublisher> restore_index(const codec::RestartImage& image,
                                            KvFeedContext& context) {
  KvLane& lane = context.lane();
  while (lane.domains() < image.head.domains) lane.new_domain();
  for (const codec::RestartDomain& one : image.domains) {
    if (one.algorithm >= kVllmHashAlgorithms.size()) continue;
    context.restore_domain({kVllmHashAlgorithms[one.algorithm], one.seed}, one.domain);
  }
  std::vector<std::uint32_t> slots(std::size_t{1} << 16, KvLane::kNoSlot);
  std::vector<KvSavedPublisher> publishers;
  publishers.reserve(image.publishers.size());
  for (const codec::RestartPublisher& one : image.publishers) {
    publishers.push_back(open_saved(one, lane, slots));
  }
  codec::RestartRun run;
  for (codec::RestartRuns runs = image.runs; runs.next(run);) lane.import_run(run, slots);
  return publishers;
}

void forget_saved(const KvSavedPublisher& saved, KvFeedContext& context) {
  for (const auto& slot : saved.feed.slots) {
    if (!slot) continue;
    context.lane().retire(*slot);
    context.add_retired(*slot);
  }
}

}  // namespace fairlead::prefix
