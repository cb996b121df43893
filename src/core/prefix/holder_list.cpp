// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/holder_list.h"

#include <algorithm>
#include <utility>

namespace fairlead::prefix {

HolderList::HolderList(HolderList&& other) noexcept
    : inline_(other.inline_),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, kInline)),
      spill_(std::move(other.spill_)) {}

HolderList& HolderList::operator=(HolderList&& other) noexcept {
  inline_ = other.inline_;
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, kInline);
  spill_ = std::move(other.spill_);
  return *this;
}

const Holder* HolderList::find(std::uint32_t slot) const {
  const Holder* end = begin() + size_;
  const Holder* at = std::lower_bound(
      begin(), end, slot, [](const Holder& holder, std::uint32_t s) { return holder.slot < s; });
  return at != end && at->slot == slot ? at : nullptr;
}

Holder* HolderList::find(std::uint32_t slot) {
  return const_cast<Holder*>(std::as_const(*this).find(slot));
}

void HolderList::insert(const Holder& holder) {
  if (size_ == capacity_) set_capacity(capacity_ * 2);
  Holder* at = begin() + size_;
  while (at != begin() && (at - 1)->slot > holder.slot) {
    *at = *(at - 1);
    --at;
  }
  *at = holder;
  ++size_;
}

void HolderList::erase(const Holder* holder) {
  std::copy(holder + 1, static_cast<const Holder*>(begin()) + size_, begin() + (holder - begin()));
  --size_;
  if (spill_ && size_ * 4 <= capacity_) set_capacity(capacity_ / 2);
}

void HolderList::reserve(std::size_t capacity) {
  if (capacity > capacity_) set_capacity(static_cast<std::uint32_t>(capacity));
}

void HolderList::set_capacity(std::uint32_t capacity) {
  capacity = std::max(capacity, kInline);
  auto spill = capacity > kInline ? std::make_unique<Holder[]>(capacity) : nullptr;
  std::copy_n(begin(), size_, spill ? spill.get() : inline_.data());
  spill_ = std::move(spill);
  capacity_ = capacity;
}

}  // namespace fairlead::prefix
