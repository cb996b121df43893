// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/model_list.h"

#include <algorithm>
#include <utility>

namespace fairlead::gateway {

void ModelList::renew(const std::shared_ptr<const model::PoolSnapshot>& pool) {
  if (pool == pool_) return;
  pool_ = pool;
  std::vector<std::string_view> names;
  for (const model::Endpoint& endpoint : pool->endpoints) {
    names.insert(names.end(), endpoint.models.begin(), endpoint.models.end());
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  cards_.clear();
  for (const std::string_view name : names) {
    codec::ModelCard card;
    card.id = name;
    card.created = created_;
    card.owned_by = "fairlead";
    cards_.push_back(std::move(card));
  }
  body_.clear();
  codec::append_model_list(body_, cards_);
}

std::string_view ModelList::body(const std::shared_ptr<const model::PoolSnapshot>& pool) {
  renew(pool);
  return body_;
}

std::string_view ModelList::card(const std::shared_ptr<const model::PoolSnapshot>& pool,
                                 std::string_view name) {
  renew(pool);
  const auto found = std::ranges::lower_bound(cards_, name, {}, &codec::ModelCard::id);
  if (found == cards_.end() || found->id != name) return {};
  card_.clear();
  codec::append_model_card(card_, *found);
  return card_;
}

}  // namespace fairlead::gateway
