// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/kv_expected.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"

namespace fairlead::prefix {

std::optional<KvSlot> KvExpected::open(model::EndpointRef endpoint) {
  if (endpoint.slot >= places_.size()) places_.resize(endpoint.slot + 1);
  FAIRLEAD_ASSERT(!places_[endpoint.slot].slot.has_value());
  places_[endpoint.slot] = {.endpoint = endpoint, .slot = lane_.open(domain_, kPromptsMax)};
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
  forget(endpoint);
  lane_.retire(*mine);
  places_[endpoint.slot].slot.reset();
}

void KvExpected::add(model::EndpointRef endpoint, std::vector<std::uint64_t> keys, Time until,
                     std::span<const KvSlot> device) {
  const std::optional<KvSlot> to = slot(endpoint);
  if (!to || keys.empty()) return;
  const auto has_all = [&](KvSlot one) { return lane_.held_from_start(one, keys) == keys.size(); };
  if (std::ranges::any_of(device, has_all)) return;
  const auto [known, is_new] = by_end_.try_emplace({endpoint.slot, keys.back()});
  if (!is_new) {
    known->second->until = until;
    prompts_.splice(prompts_.end(), prompts_, known->second);
    return;
  }
  lane_.store_keys(*to, keys);
  blocks_ += keys.size();
  ++places_[endpoint.slot].prompts;
  prompts_.push_back({endpoint, std::move(keys), until});
  known->second = std::prev(prompts_.end());
  while (blocks_ > blocks_max_ || prompts_.size() > kPromptsMax) {
    end(prompts_.begin());
    ++dropped_;
  }
}

void KvExpected::told(model::EndpointRef endpoint, std::uint64_t last_key) {
  const auto found = by_end_.find({endpoint.slot, last_key});
  if (found != by_end_.end() && found->second->endpoint == endpoint) end(found->second);
}

void KvExpected::forget(model::EndpointRef endpoint) {
  if (!slot(endpoint)) return;
  for (auto at = prompts_.begin(); at != prompts_.end() && places_[endpoint.slot].prompts > 0;) {
    const auto prompt = at++;
    if (prompt->endpoint == endpoint) end(prompt);
  }
}

void KvExpected::expire(Time now) {
  while (!prompts_.empty() && prompts_.front().until <= now) end(prompts_.begin());
}

void KvExpected::end(Prompts::iterator prompt) {
  const model::EndpointRef endpoint = prompt->endpoint;
  lane_.remove(*slot(endpoint), prompt->keys);
  blocks_ -= prompt->keys.size();
  --places_[endpoint.slot].prompts;
  by_end_.erase({endpoint.slot, prompt->keys.back()});
  prompts_.erase(prompt);
}

}  // namespace fairlead::prefix
