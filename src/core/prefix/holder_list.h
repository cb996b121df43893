// SPDX-License-Identifier: Apache-2.0
// HolderList: which endpoints hold a run and how much of it, sorted by slot. Two holders lie inline
// (most runs belong to one conversation on one endpoint); more spill to one heap array that grows
// and shrinks by halves. Threads: thread-compatible. find() and view() never allocate.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace fairlead::prefix {

struct Holder {
  std::uint32_t slot = 0;
  std::uint32_t held = 0;  // Leading blocks of the run, at least 1.
  std::uint32_t link = 0;  // This holding's place in the endpoint's order of use.
};

class HolderList {
 public:
  HolderList() = default;
  HolderList(HolderList&& other) noexcept;
  HolderList& operator=(HolderList&& other) noexcept;
  HolderList(const HolderList&) = delete;
  HolderList& operator=(const HolderList&) = delete;
  ~HolderList() = default;

  std::size_t size() const { return size_; }
  std::span<const Holder> view() const { return {begin(), size_}; }
  std::span<Holder> view() { return {begin(), size_}; }

  // Null if the slot holds nothing. The pointer is valid until the next change of the list.
  Holder* find(std::uint32_t slot);
  const Holder* find(std::uint32_t slot) const;
  // The slot must be absent.
  void insert(const Holder& holder);
  // The pointer must come from find() or view().
  void erase(const Holder* holder);
  void reserve(std::size_t capacity);

  std::size_t spill_bytes() const { return spill_ ? capacity_ * sizeof(Holder) : 0; }

 private:
  static constexpr std::uint32_t kInline = 2;

  Holder* begin() { return spill_ ? spill_.get() : inline_.data(); }
  const Holder* begin() const { return spill_ ? spill_.get() : inline_.data(); }
  void set_capacity(std::uint32_t capacity);

  std::array<Holder, kInline> inline_;
  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = kInline;
  std::unique_ptr<Holder[]> spill_;
};

}  // namespace fairlead::prefix
