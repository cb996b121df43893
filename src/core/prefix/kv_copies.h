// SPDX-License-Identifier: Apache-2.0
// KvCopies: how many copies of a block a slot has beyond the first, for those few that have any.
// A table of fixed size, because duplicates are rare and must not cost memory without bound: what
// it cannot take is not counted. Threads: the lane's writer.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace fairlead::prefix {

class KvCopies {
 public:
  // `records` is rounded up to a power of two.
  explicit KvCopies(std::uint32_t records);

  enum class Added : std::uint8_t { kFirst, kMore, kRefused };
  // One more copy; refused at `extra_max` or when the table is full.
  Added add(std::uint16_t slot, std::uint64_t key, std::uint32_t extra_max);
  enum class Taken : std::uint8_t { kNone, kMore, kLast };
  // One less.
  Taken take(std::uint16_t slot, std::uint64_t key);
  // None at all; whether there were any.
  enum class Dropped : std::uint8_t { kNone, kSome };
  Dropped drop(std::uint16_t slot, std::uint64_t key);

  static std::size_t bytes_for(std::uint32_t records) {
    return std::bit_ceil(std::size_t{records}) * sizeof(Record);
  }
  std::size_t bytes() const { return (std::size_t{mask_} + 1) * sizeof(Record); }

 private:
  struct Record {
    std::uint64_t key;
    std::uint32_t slot;
    std::uint32_t extra;  // 0: the place is empty.
  };
  struct Free {
    void operator()(Record* records) const;
  };

  std::uint32_t home(std::uint16_t slot, std::uint64_t key) const;
  std::uint32_t locate(std::uint16_t slot, std::uint64_t key) const;
  void erase(std::uint32_t at);

  std::uint32_t mask_;
  std::uint32_t used_ = 0;
  std::unique_ptr<Record[], Free> records_;  // Pages untouched cost nothing.
};

}  // namespace fairlead::prefix
