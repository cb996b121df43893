// SPDX-License-Identifier: Apache-2.0
// SeenBlocks: which blocks of prompts were asked for lately, whether or not an engine still holds
// them, and how many tokens the pool has computed since. So it tells which of what has to be
// computed would be cached if the pool's memory were larger.
//
// It keeps a sample. A block has one place, which the next that falls there takes over, so a little
// less is told than was seen, and 1 in 2^31 is told of that was not. Memory: 256 KiB. Units:
// tokens. Threads: any; relaxed atomics, since all that it tells are hints.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace fairlead::fleet {

class SeenBlocks {
 public:
  static constexpr std::uint32_t kPlaceBits = 15;
  static constexpr std::size_t kPlaces = std::size_t{1} << kPlaceBits;
  // Of more blocks too many share a place.
  static constexpr double kBlocksMax = static_cast<double>(kPlaces) / 2;
  static constexpr std::uint32_t kShiftMax = 63;
  // What time is counted in.
  static constexpr std::uint64_t kGrain = 1024;

  SeenBlocks() : places_(std::make_unique<Places>()) {}

  // One block of 2^shift is in the sample; that of a greater shift is part of that of a smaller.
  static bool sampled(std::uint64_t key, std::uint32_t shift) {
    return (mixed(key) & ((std::uint64_t{1} << shift) - 1)) == 0;
  }

  // The least shift with which of so many blocks no more are in the sample than have places.
  // Bounded, because an engine may tell any size of its memory.
  static std::uint32_t shift_for(double blocks) {
    std::uint32_t shift = 0;
    for (; blocks > kBlocksMax && shift < kShiftMax; blocks /= 2) ++shift;
    return shift;
  }

  // Tokens computed since the block was last asked for; nothing when that is not known.
  std::optional<double> age(std::uint64_t key) const {
    const std::uint64_t place = at(key).load(std::memory_order_relaxed);
    if (place >> 32 != tag_of(key)) return std::nullopt;
    const std::uint32_t passed = ticks() - static_cast<std::uint32_t>(place);
    return static_cast<double>(passed) * static_cast<double>(kGrain);
  }
  void note(std::uint64_t key) {
    at(key).store(tag_of(key) << 32 | ticks(), std::memory_order_relaxed);
  }
  // So many tokens were placed somewhere to be computed.
  void pass(std::uint64_t tokens) { computed_.fetch_add(tokens, std::memory_order_relaxed); }

 private:
  using Places = std::array<std::atomic<std::uint64_t>, kPlaces>;

  // Places are told by its highest bits, the sample by its lowest.
  static std::uint64_t mixed(std::uint64_t key) {
    key *= 0x9e3779b97f4a7c15;
    return key ^ key >> 32;
  }
  // Never 0, which is a place that was never taken.
  static std::uint64_t tag_of(std::uint64_t key) { return (key & 0xffffffff) | 1; }
  std::uint32_t ticks() const {
    return static_cast<std::uint32_t>(computed_.load(std::memory_order_relaxed) / kGrain);
  }
  std::atomic<std::uint64_t>& at(std::uint64_t key) const {
    return (*places_)[mixed(key) >> (64 - kPlaceBits)];
  }

  std::unique_ptr<Places> places_;
  std::atomic<std::uint64_t> computed_{0};
};

}  // namespace fairlead::fleet
