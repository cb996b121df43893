// SPDX-License-Identifier: Apache-2.0
#include "fronts/gateway/model_list.h"

#include <algorithm>
#include <vector>

#include "core/codec/json_text.h"

namespace fairlead::gateway {

std::string_view ModelList::body(const std::shared_ptr<const model::PoolSnapshot>& pool) {
  if (pool == pool_) return body_;
  pool_ = pool;
  std::vector<std::string_view> names;
  for (const model::Endpoint& endpoint : pool->endpoints) {
    names.insert(names.end(), endpoint.models.begin(), endpoint.models.end());
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  std::vector<codec::ModelCard> cards;
  for (const std::string_view name : names) {
    codec::ModelCard card;
    card.id = name;
    card.created = created_;
    card.owned_by = "fairlead";
    cards.push_back(std::move(card));
  }
  body_.clear();
  codec::append_model_list(body_, cards);
  return body_;
}

}  // namespace fairlead::gateway
