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
  places_[endpoint.slot] = {.endpoint = endpoint, .slot = lane_.open(domain_)};
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
  lane_.store_keys(*to, keys);
  ++places_[endpoint.slot].prompts;
  blocks_ += keys.size();
  prompts_.push_back({endpoint, std::move(keys), until});
  by_last_key_.emplace(prompts_.back().keys.back(), std::prev(prompts_.end()));
  while (blocks_ > blocks_max_ || prompts_.size() > kPromptsMax) {
    end(prompts_.begin());
    ++dropped_;
  }
}

void KvExpected::told(model::EndpointRef endpoint, std::uint64_t last_key) {
  auto [at, last] = by_last_key_.equal_range(last_key);
  while (at != last) {
    const Prompts::iterator prompt = (at++)->second;
    if (prompt->endpoint == endpoint) end(prompt);
  }
}

void KvExpected::forget(model::EndpointRef endpoint) {
  if (!slot(endpoint)) return;
  const std::size_t& left = places_[endpoint.slot].prompts;
  for (auto at = prompts_.begin(); left > 0;) {
    const auto prompt = at++;
    if (prompt->endpoint == endpoint) end(prompt);
  }
}

void KvExpected::expire(Time now) {
  while (!prompts_.empty() && prompts_.front().until <= now) end(prompts_.begin());
}

void KvExpected::end(Prompts::iterator prompt) {
  lane_.remove(*slot(prompt->endpoint), prompt->keys);
  blocks_ -= prompt->keys.size();
  --places_[prompt->endpoint.slot].prompts;
  const auto [first, last] = by_last_key_.equal_range(prompt->keys.back());
  by_last_key_.erase(
      std::find_if(first, last, [&](const auto& entry) { return entry.second == prompt; }));
  prompts_.erase(prompt);
}

}  // namespace fairlead::prefix
