// SPDX-License-Identifier: Apache-2.0
// What of a KvListener outlives the process; core/prefix/kv_saved.h says how it fits together
// again.
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
  if (image.head.tokens_told != 0) block_tokens_ = image.head.tokens_told;
  std::vector<prefix::KvSavedPublisher> known = prefix::restore_index(image, context_);
  for (std::size_t i = 0; i < known.size(); ++i) {
    const codec::RestartPublisher& one = image.publishers[i];
    resumable_.push_back(
        {one.endpoint, {one.events, one.replay, one.topic, one.rank}, std::move(known[i])});
  }
  resumable_until_ = clock_.now() + kFoundWithin;
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
    prefix::forget_saved(one.known, context_);
  }
  resumable_.clear();
}

void KvListener::save(const std::shared_ptr<KvSave>& save) {
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
  prefix::save_domains(context_, saved_domains_, save_->writer());
  for (const SavedPlace& place : saved_places_) save_publisher(place);
  // Those that were not found yet are as they came.
  for (const Resumable& one : resumable_) {
    if (one.known.stream.next != 0) save_->writer().add(to_save(one));
  }
  lane_.end_export();
  cells_.save_pause.set(longest_pause_);
  std::exchange(save_, nullptr)->finish(end);
}

codec::RestartPublisher KvListener::to_save(const Resumable& one) {
  codec::RestartPublisher out = prefix::to_record(one.known);
  out.endpoint = one.endpoint;
  out.events = one.address.events;
  out.replay = one.address.replay;
  out.topic = one.address.topic;
  out.rank = one.address.rank;
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
  save_->writer().add(
      to_save({source->second->name, (*found)->address(),
               prefix::save_publisher(feed, place.stream, stream->next_sequence())}));
}

}  // namespace fairlead::router
