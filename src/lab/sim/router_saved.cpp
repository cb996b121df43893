// SPDX-License-Identifier: Apache-2.0
// What a router keeps over its own restart: router::Restart and Control's half of it, without
// threads and files.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/sim/router_node.h"

namespace fairlead::sim {
namespace {

constexpr std::size_t kHistoryBlocksMax = 900'000;
// router::Restart::kFoundWithin, shorter, so that a world lives to see it.
constexpr Duration kFoundWithin = std::chrono::seconds(5);

std::string address_of(const model::Endpoint& endpoint) {
  return config::to_string(config::HostPort{endpoint.dial(), endpoint.port});
}

}  // namespace

// Before anything else is known.
void RouterNode::restore() {
  Disk& disk = *world_.disk;
  if (disk.file.empty()) return;
  const auto fault = codec::read_restart(disk.file, image_);
  if (fault.has_value() != disk.damaged) {
    world_.ledger.found("damaged files alone are refused",
                        fault ? fault->describe() : std::string("a damaged file was read"));
    image_ = {};
    return;
  }
  if (fault) {
    ++disk.refused;
    return;
  }
  ++disk.loaded;
  knowledge_.restore(image_, disk.lives, now() + kFoundWithin);
  image_.runs = {};
  std::uint64_t oldest = 0;
  for (const auto& endpoint : image_.endpoints) oldest = std::max(oldest, endpoint.cold_age);
  placements_.resume(image_.calibration->turn, oldest);
}

// What was known of an endpoint of the pool, once.
void RouterNode::resume(const model::Endpoint& endpoint) {
  const auto known =
      std::ranges::find(image_.endpoints, endpoint.name, &codec::RestartEndpoint::name);
  if (known == image_.endpoints.end() || known->address != address_of(endpoint)) return;
  const std::uint32_t slot = endpoint.ref.slot;
  fleet_.resume(endpoint.ref, {known->started_at, known->prefix_queries, known->budget_bytes});
  if (known->budget_bytes > 0) history_.set_budget(slot, known->budget_bytes);
  const auto number = static_cast<std::uint32_t>(known - image_.endpoints.begin());
  for (const codec::RestartHistory& history : image_.histories) {
    if (history.endpoint == number && image_.head.block_bytes == history_.block_bytes()) {
      history_.restore(slot, history);
      if (known->started_at) history_lives_[slot] = EngineHost::life_of(*known->started_at);
    }
  }
  if (known->started_at) told_lives_[slot] = EngineHost::life_of(*known->started_at);
  placements_.resume_cold(slot, known->cold_age);
  known->name.clear();
}

void RouterNode::save_later() {
  world_.loop.after(world_.disk->every, [this] {
    if (!saving_) begin_save();
    save_later();
  });
}

void RouterNode::begin_save() {
  if (now() - born_ >= kFoundWithin) image_ = {};
  saving_ = std::make_unique<codec::RestartWriter>();
  codec::RestartHead head;
  head.key_seed = kKeySeed;
  head.saved_at = to_seconds(now());
  head.block_bytes = history_.block_bytes();
  head.tokens_asked = head.tokens_told = kBlockTokens;
  head.domains = knowledge_.begin_save();
  saving_->add(head);
  saving_->add(codec::RestartCalibration{.version = 1, .turn = placements_.turn()});
  std::vector<std::uint32_t> slots;
  for (const fleet::Fleet::Status& status : fleet_.status()) {
    const std::uint32_t slot = status.endpoint->ref.slot;
    saving_->add(codec::RestartEndpoint{status.endpoint->name, address_of(*status.endpoint),
                                        status.marks.started_at, status.marks.prefix_queries,
                                        status.marks.budget, placements_.cold_age(slot)});
    slots.push_back(slot);
  }
  codec::RestartHistory history;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    history_.save(slots[i], kHistoryBlocksMax, history);
    if (history.stretches.empty()) continue;
    history.endpoint = static_cast<std::uint32_t>(i);
    saving_->add(history);
  }
}

void RouterNode::save_slice() {
  if (!saving_ || knowledge_.save_slice(*saving_)) return;
  world_.disk->lives = knowledge_.finish_save(*saving_);
  saving_->finish();
  world_.disk->file = saving_->take();
  world_.disk->damaged = false;
  saving_.reset();
}

void RouterNode::save_at_end() {
  begin_save();
  while (saving_) save_slice();
}

}  // namespace fairlead::sim
