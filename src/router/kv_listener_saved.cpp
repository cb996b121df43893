// SPDX-License-Identifier: Apache-2.0
// What of a KvListener outlives the process.
//
// A save takes its time, and events go on being applied meanwhile. So a stream's place is noted
// when the save begins, and what came until its end may be in the file or not: it is told again by
// the replay from that place, and then a block that is there already is no copy
// (KvFeed::Saved::settled). A publisher whose caches changed hands in between is left out.
#include <algorithm>

#include "router/kv_publisher.h"

namespace fairlead::router {
namespace {

// About a millisecond.
constexpr std::size_t kSliceBlocks = 32 * 1024;
constexpr std::uint32_t kSliceLooks = 256;
// Names are looked up and models asked for meanwhile.
constexpr Duration kFoundWithin = std::chrono::seconds(60);

}  // namespace

void KvListener::restore(const codec::RestartImage& image) {
  if (image.head.tokens_asked == 0) return;  // It was saved by who listened to nobody.
  if (image.head.tokens_asked != settings_.block_tokens) {
    log_.warning("the saved KV index is of blocks of {} tokens, not {}; it is not used",
                 image.head.tokens_asked, settings_.block_tokens);
    return;
  }
  while (lane_.domains() < image.head.domains) lane_.new_domain();
  for (const codec::RestartDomain& one : image.domains) {
    if (one.algorithm >= prefix::kVllmHashAlgorithms.size()) continue;
    context_.restore_domain({prefix::kVllmHashAlgorithms[one.algorithm], one.seed}, one.domain);
  }
  if (image.head.tokens_told != 0) block_tokens_ = image.head.tokens_told;
  std::vector<std::uint32_t> slots(std::size_t{1} << 16, prefix::KvLane::kNoSlot);
  for (const codec::RestartPublisher& one : image.publishers) import_publisher(one, slots);
  codec::RestartRun run;
  for (codec::RestartRuns runs = image.runs; runs.next(run);) lane_.import_run(run, slots);
  resumable_until_ = clock_.now() + kFoundWithin;
}

void KvListener::import_publisher(const codec::RestartPublisher& one,
                                  std::vector<std::uint32_t>& slots) {
  Resumable kept;
  kept.endpoint = one.endpoint;
  kept.address = {one.events, one.replay, one.topic, one.rank};
  kept.stream = {one.next, one.witness, one.complete};
  kept.feed.block_tokens = one.block_tokens;
  kept.feed.settled = one.settled;
  if (one.domain != codec::kRestartNone) kept.feed.domain = one.domain;
  for (const codec::RestartPublisher::Group& group : one.groups) {
    using Kind = prefix::KvFeed::Group::Kind;
    kept.feed.groups.push_back({group.number, group.kind == 0 ? Kind::kMain : Kind::kOther});
  }
  for (std::size_t tier = 0; tier < std::min(one.slots.size(), prefix::kKvTiers); ++tier) {
    const std::uint32_t old = one.slots[tier];
    if (old == codec::kRestartNone) continue;
    const bool is_known =
        old < slots.size() && slots[old] == prefix::KvLane::kNoSlot && kept.feed.domain;
    if (is_known) kept.feed.slots[tier] = lane_.open(*kept.feed.domain);
    if (kept.feed.slots[tier]) {
      slots[old] = *kept.feed.slots[tier];
    } else {
      kept.stream = {};  // What it held there is not kept, so that all is to be told anew.
    }
  }
  resumable_.push_back(std::move(kept));
}

std::optional<KvListener::Resumable> KvListener::take_resumable(
    const std::string& endpoint, const fleet::KvPublisherAddress& address) {
  const auto found = std::ranges::find_if(resumable_, [&](const Resumable& one) {
    return one.endpoint == endpoint && one.address == address;
  });
  if (found == resumable_.end()) return std::nullopt;
  Resumable taken = std::move(*found);
  resumable_.erase(found);
  return taken;
}

void KvListener::check_resumable(Time now) {
  if (resumable_until_ && now >= *resumable_until_) drop_resumable();
}

// Of endpoints that are not there any more.
void KvListener::drop_resumable() {
  resumable_until_.reset();
  for (const Resumable& one : resumable_) {
    cells_.not_continued.add();
    for (const auto& slot : one.feed.slots) {
      if (!slot) continue;
      lane_.retire(*slot);
      context_.add_retired(*slot);
    }
  }
  resumable_.clear();
}

void KvListener::save(std::shared_ptr<KvSave> save) {
  if (loop_->post([this, save] { begin_save(save); }) != net::Posted::kQueued) save->give_up();
}

void KvListener::begin_save(std::shared_ptr<KvSave> save) {
  if (save_) save_->give_up();
  save_ = std::move(save);
  saved_places_.clear();
  for (const auto& [slot, source] : sources_) {
    for (const auto& publisher : source->publishers) {
      const prefix::EventStream* const stream = subscriber_->stream(publisher->id());
      if (stream == nullptr) continue;
      const auto place = stream->save();
      if (!place) continue;
      saved_places_.push_back({slot, publisher->id(), publisher->feed().slots_version(), *place});
    }
  }
  saved_domains_ = lane_.domains();
  longest_pause_ = 0;
  lane_.begin_export();
  save_->begun(saved_domains_);
}

void KvListener::save_slice() {
  if (!save_) return;
  if (save_->given_up()) {
    lane_.end_export();
    return save_.reset();
  }
  if (!save_->may_write()) return;
  const Time begun = clock_.now();
  std::optional<KvSave::End> end;
  std::size_t blocks = 0;
  for (std::uint32_t looks = 0; looks < kSliceLooks && blocks < kSliceBlocks && !end;) {
    switch (lane_.export_next(saved_run_)) {
      case prefix::KvLane::Exported::kRun:
        save_->writer().add(saved_run_);
        blocks += 8 + saved_run_.keys.size() + saved_run_.names.size();
        if (save_->full()) end = KvSave::End::kCut;
        break;
      case prefix::KvLane::Exported::kLooking:
        ++looks;
        break;
      case prefix::KvLane::Exported::kEnd:
        end = KvSave::End::kWhole;
        break;
    }
  }
  save_->flush();
  longest_pause_ = std::max(longest_pause_, to_seconds(clock_.now() - begun));
  if (end) finish_save(*end);
}

void KvListener::finish_save(KvSave::End end) {
  for (const auto& [hashes, domain] : context_.domains()) {
    if (domain >= saved_domains_) continue;
    const auto algorithm = std::ranges::find(prefix::kVllmHashAlgorithms, hashes.algorithm);
    save_->writer().add(codec::RestartDomain{
        static_cast<std::uint32_t>(algorithm - prefix::kVllmHashAlgorithms.begin()), hashes.seed,
        domain});
  }
  for (const SavedPlace& place : saved_places_) save_publisher(place);
  // Those that were not found yet are as they came.
  for (const Resumable& one : resumable_) {
    if (one.stream.next != 0) save_->writer().add(to_save(one));
  }
  lane_.end_export();
  cells_.save_pause.set(longest_pause_);
  std::exchange(save_, nullptr)->finish(end);
}

codec::RestartPublisher KvListener::to_save(const Resumable& one) {
  codec::RestartPublisher out;
  out.endpoint = one.endpoint;
  out.events = one.address.events;
  out.replay = one.address.replay;
  out.topic = one.address.topic;
  out.rank = one.address.rank;
  out.next = one.stream.next;
  out.witness = one.stream.witness;
  out.complete = one.stream.complete;
  out.settled = one.feed.settled;
  for (const auto& slot : one.feed.slots) out.slots.push_back(slot ? *slot : codec::kRestartNone);
  for (const prefix::KvFeed::Group& group : one.feed.groups) {
    out.groups.push_back({group.number, static_cast<std::uint8_t>(group.kind)});
  }
  out.block_tokens = one.feed.block_tokens;
  out.domain = one.feed.domain.value_or(codec::kRestartNone);
  return out;
}

void KvListener::save_publisher(const SavedPlace& place) {
  const auto source = sources_.find(place.source);
  if (source == sources_.end()) return;
  const auto& publishers = source->second->publishers;
  const auto found = std::ranges::find_if(
      publishers, [&](const auto& publisher) { return publisher->id() == place.id; });
  if (found == publishers.end()) return;
  const prefix::KvFeed& feed = (*found)->feed();
  const prefix::EventStream* const stream = subscriber_->stream(place.id);
  if (stream == nullptr || feed.slots_version() != place.slots_version) return;
  Resumable one{source->second->name, (*found)->address(), feed.save(), place.stream};
  one.feed.settled = std::max(stream->next_sequence(), one.feed.settled);
  save_->writer().add(to_save(one));
}

}  // namespace fairlead::router
