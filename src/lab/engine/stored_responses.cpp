// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/stored_responses.h"

#include <utility>

namespace fairlead::engine {

void StoredResponses::keep(const std::string& id, Conversation conversation) {
  tokens_ += conversation.count;
  const auto [place, fresh] = by_id_.try_emplace(id);
  tokens_ -= place->second.count;
  place->second = std::move(conversation);
  if (fresh) order_.push_back(id);
  while (order_.size() > kResponsesMax || (tokens_ > kTokensMax && order_.size() > 1)) {
    const auto oldest = by_id_.find(order_.front());
    tokens_ -= oldest->second.count;
    by_id_.erase(oldest);
    order_.pop_front();
  }
}

const Conversation* StoredResponses::find(const std::string& id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

void StoredResponses::clear() {
  by_id_.clear();
  order_.clear();
  tokens_ = 0;
}

}  // namespace fairlead::engine
