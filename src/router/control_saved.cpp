// SPDX-License-Identifier: Apache-2.0
// How Control keeps what the router knows over its own restart.
#include <algorithm>
#include <utility>

#include "router/control.h"

namespace fairlead::router {
namespace {

std::string address_of(const model::Endpoint& endpoint) {
  return config::to_string(config::HostPort{endpoint.dial(), endpoint.port});
}

}  // namespace

// Once the listener has its index.
void Control::open_saves() {
  Restart* const restart = router_.restart();
  if (restart == nullptr) return;
  restart->drop_index();
  const codec::RestartImage* const image = restart->image();
  if (image == nullptr || !image->calibration) return;
  std::uint64_t oldest = 0;
  for (const auto& endpoint : image->endpoints) oldest = std::max(oldest, endpoint.cold_age);
  router_.ledger().resume(image->calibration->turn, oldest);
}

void Control::resume(const model::Endpoint& endpoint) {
  if (router_.restart() == nullptr) return;
  auto known = router_.restart()->take(endpoint.name, address_of(endpoint));
  if (!known) return;
  const codec::RestartEndpoint& saved = known->endpoint;
  fleet_.resume(endpoint.ref, {saved.started_at, saved.prefix_queries, saved.budget_bytes});
  const std::uint32_t slot = endpoint.ref.slot;
  const bool is_auto = !generation_->settings.prefix.bytes_per_endpoint;
  if (is_auto && saved.budget_bytes > 0) router_.history().set_budget(slot, saved.budget_bytes);
  router_.history().restore(slot, known->prompts);
  router_.media().restore(slot, known->media);
  router_.ledger().resume_cold(slot, saved.cold_age);
}

Restart::Job Control::to_save() const {
  Restart::Job job;
  for (const fleet::Fleet::Status& status : fleet_.status()) {
    const std::uint32_t slot = status.endpoint->ref.slot;
    job.endpoints.push_back({status.endpoint->name, address_of(*status.endpoint),
                             status.marks.started_at, status.marks.prefix_queries,
                             status.marks.budget, router_.ledger().cold_age(slot)});
    job.slots.push_back(slot);
  }
  job.turn = router_.ledger().turn();
  job.block_bytes = generation_->settings.prefix.block_bytes;
  return job;
}

void Control::save() {
  router_.restart()->save(to_save());
  save_timer_.arm(generation_->settings.restart.interval);
}

}  // namespace fairlead::router
