// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_expected.h"

#include <utility>

#include "base/assert.h"

namespace fairlead::prefix {

std::optional<KvSlot> KvExpected::open(model::EndpointRef endpoint) {
  if (endpoint.slot >= places_.size()) places_.resize(endpoint.slot + 1);
  FAIRLEAD_ASSERT(!places_[endpoint.slot].slot.has_value());
  places_[endpoint.slot] = {endpoint, lane_.open(domain_)};
  return places_[endpoint.slot].slot;
}

std::optional<KvSlot> KvExpected::slot(model::EndpointRef endpoint) const {
  if (endpoint.slot >= places_.size()) return std::nullopt;
  const Place& place = places_[endpoint.slot];
  return place.endpoint == endpoint ? place.slot : std::nullopt;
}

void KvExpected::close(model::EndpointRef endpoint) {
  const std::optional<KvSlot> mine = slot(endpoint);
  if (!mine) return;
  lane_.retire(*mine);
  places_[endpoint.slot].slot.reset();
  std::erase_if(prompts_, [&](const Prompt& prompt) {
    if (!(prompt.endpoint == endpoint)) return false;
    blocks_ -= prompt.keys.size();
    return true;
  });
}

void KvExpected::add(model::EndpointRef endpoint, std::vector<std::uint64_t> keys, Time until) {
  const std::optional<KvSlot> to = slot(endpoint);
  if (!to) return;
  lane_.store_keys(*to, keys);
  blocks_ += keys.size();
  prompts_.push_back({endpoint, std::move(keys), until});
  while (blocks_ > blocks_max_) {
    drop_oldest();
    ++dropped_;
  }
}

void KvExpected::forget(model::EndpointRef endpoint) {
  const std::optional<KvSlot> from = slot(endpoint);
  if (!from) return;
  std::erase_if(prompts_, [&](const Prompt& prompt) {
    if (!(prompt.endpoint == endpoint)) return false;
    lane_.remove(*from, prompt.keys);
    blocks_ -= prompt.keys.size();
    return true;
  });
}

void KvExpected::expire(Time now) {
  while (!prompts_.empty() && prompts_.front().until <= now) drop_oldest();
}

void KvExpected::drop_oldest() {
  const Prompt& oldest = prompts_.front();
  lane_.remove(*slot(oldest.endpoint), oldest.keys);
  blocks_ -= oldest.keys.size();
  prompts_.pop_front();
}

}  // namespace fairlead::prefix
