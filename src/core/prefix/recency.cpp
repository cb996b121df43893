// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/recency.h"

namespace fairlead::prefix {

void Recency::add_slots(std::size_t count) {
  if (count > orders_.size()) orders_.resize(count);
}

std::uint32_t Recency::add(std::uint32_t slot, std::uint32_t run, std::uint32_t newer) {
  std::uint32_t link = free_;
  if (link == kNoLink) {
    link = static_cast<std::uint32_t>(links_.size());
    links_.push_back({run, kNoLink, kNoLink});
  } else {
    free_ = links_[link].newer;
    links_[link].run = run;
  }
  attach(slot, link, newer);
  return link;
}

void Recency::move(std::uint32_t slot, std::uint32_t link, std::uint32_t newer) {
  if (links_[link].newer == newer) return;
  detach(slot, link);
  attach(slot, link, newer);
}

void Recency::remove(std::uint32_t slot, std::uint32_t link) {
  detach(slot, link);
  links_[link].newer = free_;
  free_ = link;
}

void Recency::attach(std::uint32_t slot, std::uint32_t link, std::uint32_t newer) {
  Order& order = orders_[slot];
  std::uint32_t& above = newer == kNoLink ? order.newest : links_[newer].older;
  const std::uint32_t older = above;
  above = link;
  (older == kNoLink ? order.oldest : links_[older].newer) = link;
  links_[link].older = older;
  links_[link].newer = newer;
}

void Recency::detach(std::uint32_t slot, std::uint32_t link) {
  Order& order = orders_[slot];
  const auto [run, older, newer] = links_[link];
  (newer == kNoLink ? order.newest : links_[newer].older) = older;
  (older == kNoLink ? order.oldest : links_[older].newer) = newer;
}

}  // namespace fairlead::prefix
