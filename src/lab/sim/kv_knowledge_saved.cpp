// SPDX-License-Identifier: Apache-2.0
// What of the knowledge outlives the process, as router::KvListener keeps it.
#include <algorithm>
#include <utility>

#include "lab/sim/kv_follower.h"

namespace fairlead::sim {
namespace {

// So few that events come in between.
constexpr std::size_t kSliceRuns = 1;

}  // namespace

void KvKnowledge::restore(const codec::RestartImage& image, const SavedLives& lives, Time until) {
  resumable_until_ = until;
  std::vector<prefix::KvSavedPublisher> known = prefix::restore_index(image, context_);
  for (std::size_t i = 0; i < known.size(); ++i) {
    const auto engine = static_cast<std::uint32_t>(std::stoul(image.publishers[i].endpoint));
    resumable_.push_back({engine, std::move(known[i]), lives.at(engine)});
  }
}

std::optional<Resumable> KvKnowledge::take_resumable(const EngineHost& engine) {
  const auto found = std::ranges::find(resumable_, engine.number(), &Resumable::engine);
  if (found == resumable_.end()) return std::nullopt;
  Resumable taken = std::move(*found);
  resumable_.erase(found);
  return taken;
}

// Of engines that are not there any more.
void KvKnowledge::drop_resumable() {
  if (agenda_.now() < resumable_until_) return;
  for (const Resumable& one : resumable_) prefix::forget_saved(one.known, context_);
  resumable_.clear();
}

prefix::KvDomain KvKnowledge::begin_save() {
  places_.clear();
  for (const auto& [slot, follower] : followers_) {
    if (const auto place = follower->stream().save()) {
      places_.push_back({follower->ref(), follower->slots_version(), *place, follower->life()});
    }
  }
  saved_domains_ = lane_.domains();
  lane_.begin_export();
  saving_ = true;
  return saved_domains_;
}

bool KvKnowledge::save_slice(codec::RestartWriter& writer) {
  codec::RestartRun run;
  for (std::size_t runs = 0; runs < kSliceRuns;) {
    switch (lane_.export_next(run)) {
      case prefix::KvLane::Exported::kRun:
        writer.add(run);
        ++runs;
        break;
      case prefix::KvLane::Exported::kLooking:
        break;
      case prefix::KvLane::Exported::kEnd:
        return false;
    }
  }
  return true;
}

SavedLives KvKnowledge::finish_save(codec::RestartWriter& writer) {
  SavedLives lives;
  const auto add = [&](std::uint32_t engine, const prefix::KvSavedPublisher& saved,
                       std::uint32_t life) {
    codec::RestartPublisher record = prefix::to_record(saved);
    record.endpoint = std::to_string(engine);
    writer.add(record);
    lives[engine] = life;
  };
  prefix::save_domains(context_, saved_domains_, writer);
  for (const SavedPlace& place : places_) {
    const auto found = followers_.find(place.ref.slot);
    if (found == followers_.end() || !(found->second->ref() == place.ref)) continue;
    const KvFollower& follower = *found->second;
    if (follower.slots_version() != place.slots_version) continue;
    add(follower.engine().number(), follower.save(place.stream), place.life);
  }
  for (const Resumable& one : resumable_) {
    if (one.known.stream.next != 0) add(one.engine, one.known, one.life);
  }
  break_off_save();
  return lives;
}

void KvKnowledge::break_off_save() {
  if (std::exchange(saving_, false)) lane_.end_export();
}

}  // namespace fairlead::sim
