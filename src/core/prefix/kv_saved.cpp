// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_saved.h"

#include <algorithm>
#include <functional>

#include "base/mutant.h"
#include "base/random.h"

namespace fairlead::prefix {
namespace {

// The first keys of all runs of a file.
class RunHeads {
 public:
  explicit RunHeads(codec::RestartRuns runs) {
    codec::RestartRun run;
    while (runs.next(run)) keys_.push_back(run.keys.front());
    std::ranges::sort(keys_);
    while (std::size_t{1} << bits_ < kBitsAKey * keys_.size()) ++bits_;
    seen_.resize(std::size_t{1} << bits_);
    for (const std::uint64_t key : keys_) seen_[place(key)] = true;
  }
  // Of the run's blocks, the next one behind `from` that begins a run of the file, or their number.
  std::size_t next(const codec::RestartRun& run, std::size_t from) const {
    const auto begins_one = [this](std::uint64_t key) {
      return seen_[place(key)] && std::ranges::binary_search(keys_, key);
    };
    const auto rest = std::span(run.keys).subspan(from + 1);
    return from + 1 +
           static_cast<std::size_t>(std::ranges::find_if(rest, begins_one) - rest.begin());
  }

 private:
  static constexpr std::size_t kBitsAKey = 16;
  std::size_t place(std::uint64_t key) const { return mix64(key) >> (64 - bits_); }

  std::vector<std::uint64_t> keys_;
  unsigned bits_ = 1;
  std::vector<bool> seen_;
};

// So that a piece finds its own without looking at all: names by their blocks, holders by how much
// they hold, the most first. Of holders those that are somebody now, each once.
void order_for_pieces(codec::RestartRun& run, std::span<const std::uint32_t> slots) {
  std::ranges::sort(run.names, {}, &codec::RestartRun::Name::offset);
  std::vector<codec::RestartRun::Holder>& holders = run.holders;
  std::erase_if(holders, [&](const codec::RestartRun::Holder& one) {
    return one.slot >= slots.size() || slots[one.slot] == KvLane::kNoSlot;
  });
  std::ranges::sort(holders, {}, &codec::RestartRun::Holder::slot);
  const auto twice = std::ranges::unique(holders, {}, &codec::RestartRun::Holder::slot);
  holders.erase(twice.begin(), twice.end());
  std::ranges::sort(holders, std::greater(), &codec::RestartRun::Holder::blocks);
}

// Of a run in order.
codec::RestartRun piece_of(const codec::RestartRun& run, std::size_t from, std::size_t to) {
  codec::RestartRun piece;
  const auto at = [from](const auto& all) {
    return all.begin() + static_cast<std::ptrdiff_t>(from);
  };
  const auto count = static_cast<std::ptrdiff_t>(to - from);
  piece.keys.assign(at(run.keys), at(run.keys) + count);
  piece.hashes.assign(at(run.hashes), at(run.hashes) + count);
  using Name = codec::RestartRun::Name;
  for (auto name = std::ranges::lower_bound(run.names, from, {}, &Name::offset);
       name != run.names.end() && name->offset < to; ++name) {
    piece.names.push_back({name->offset - static_cast<std::uint32_t>(from), name->hash});
  }
  for (const codec::RestartRun::Holder& holder : run.holders) {
    if (holder.blocks <= from) break;
    const std::size_t blocks = std::min<std::size_t>(holder.blocks, to) - from;
    piece.holders.push_back({holder.slot, static_cast<std::uint16_t>(blocks)});
  }
  return piece;
}

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
  import_runs(image.runs, slots, lane);
  return publishers;
}

void import_runs(const codec::RestartRuns& runs, std::span<const std::uint32_t> slots,
                 KvLane& lane) {
  const RunHeads heads(runs);
  codec::RestartRun run;
  for (codec::RestartRuns left = runs; left.next(run);) {
    for (std::size_t from = 0, to = 0; from < run.keys.size(); from = to) {
      to = heads.next(run, from);
      const bool whole = from == 0 && to == run.keys.size();
      if (from == 0 && !whole) order_for_pieces(run, slots);
      lane.import_run(whole ? run : piece_of(run, from, to), slots);
    }
  }
}

void forget_saved(const KvSavedPublisher& saved, KvFeedContext& context) {
  for (const auto& slot : saved.feed.slots) {
    if (!slot || planted(Mutant::kNeverDropped)) continue;
    context.lane().retire(*slot);
    context.add_retired(*slot);
  }
}

}  // namespace fairlead::prefix
