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
  // One without a block of its own is worth nothing.
  if (bytes.capacity() < kFirstBytes) return;
  if (kept_bytes_ + bytes.capacity() > limits_.kept_bytes_max) return;
  bytes.clear();
  kept_bytes_ += bytes.capacity();
  free_.push_back(std::move(bytes));
}

// The count orders nothing but itself.
bool BodyStore::lend(std::size_t bytes) {
  std::size_t lent = lent_together_.load(std::memory_order_relaxed);
  do {
    if (lent + bytes > limits_.lent_bytes_max) return false;
  } while (!lent_together_.compare_exchange_weak(lent, lent + bytes, std::memory_order_relaxed));
  lent_bytes_ += bytes;
  return true;
}

void BodyStore::lent_back(std::size_t bytes) {
  lent_bytes_ -= bytes;
  lent_together_.fetch_sub(bytes, std::memory_order_relaxed);
}

bool StoredBody::reserve(std::size_t size) {
  if (charged_ == 0) bytes_ = store_.take();
  const std::size_t have = bytes_.capacity();
  const std::size_t wanted = size <= have ? have : std::max({size, 2 * have, kFirstBytes});
  if (wanted > charged_ && !store_.lend(wanted - charged_)) {
    if (charged_ == 0) store_.give_back(std::exchange(bytes_, {}));
    return false;
  }
  charged_ = wanted;
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
  store_.lent_back(std::exchange(charged_, 0));
  store_.give_back(std::exchange(bytes_, {}));
}

}  // namespace fairlead::exchange
