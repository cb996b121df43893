// SPDX-License-Identifier: Apache-2.0
#include "core/exchange/body_store.h"

#include <algorithm>
#include <utility>

namespace fairlead::exchange {
namespace {

constexpr std::size_t kFirstBytes = 4096;

}  // namespace

std::string BodyStore::take() {
  if (free_.empty()) return {};
  std::string bytes = std::move(free_.back());
  free_.pop_back();
  kept_bytes_ -= bytes.capacity();
  return bytes;
}

void BodyStore::give_back(std::string bytes) {
  if (kept_bytes_ + bytes.capacity() > limits_.kept_bytes_max) return;
  bytes.clear();
  kept_bytes_ += bytes.capacity();
  free_.push_back(std::move(bytes));
}

bool StoredBody::charge(std::size_t capacity) {
  const std::size_t lent = store_.lent_bytes_ - charged_ + capacity;
  if (lent > store_.limits_.lent_bytes_max) return false;
  store_.lent_bytes_ = lent;
  charged_ = capacity;
  return true;
}

bool StoredBody::reserve(std::size_t size) {
  if (charged_ == 0) bytes_ = store_.take();
  const std::size_t have = bytes_.capacity();
  const std::size_t wanted = size <= have ? have : std::max({size, 2 * have, kFirstBytes});
  if (!charge(wanted)) return false;
  bytes_.reserve(wanted);
  return true;
}

bool StoredBody::append(std::string_view bytes) {
  if (!reserve(bytes_.size() + bytes.size())) return false;
  bytes_ += bytes;
  return true;
}

bool StoredBody::splice(std::size_t begin, std::size_t end, std::string_view bytes) {
  if (!reserve(bytes_.size() - (end - begin) + bytes.size())) return false;
  bytes_.replace(begin, end - begin, bytes);
  return true;
}

void StoredBody::release() {
  if (charged_ == 0) return;
  store_.lent_bytes_ -= std::exchange(charged_, 0);
  store_.give_back(std::exchange(bytes_, {}));
}

}  // namespace fairlead::exchange
