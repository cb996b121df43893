// SPDX-License-Identifier: Apache-2.0
// Placements as the routers of a fleet tell them to each other: which prompts one of them sent to
// which endpoints since its last batch. Prompts are their prefix keys (prefix/byte_keys.h), of a
// seed that all share; an empty batch says that its sender lives.
//
// Little-endian: "FLPB", u32 version, u64 sender, u64 number, u32
// bytes of a block, u32 placements; each placement: u64 endpoint, u32 keys, and its keys, u64 each.
// A batch has the number after the last one's; one without placements has the last one's.
// Bounds: kBatchBytesMax, kPlacementKeysMax. Errors: BatchFault. Threads: values; views are into
// the reader's bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::replication {

inline constexpr std::uint32_t kBatchVersion = 1;
inline constexpr std::size_t kBatchBytesMax = std::size_t{1} << 20;
// Of a longer prompt the head is told: 64 MiB with blocks of 1 KiB.
inline constexpr std::size_t kPlacementKeysMax = 64 * 1024;

struct BatchHead {
  std::uint64_t sender = 0;
  std::uint64_t number = 0;
  std::uint32_t block_bytes = 0;
  friend bool operator==(const BatchHead&, const BatchHead&) = default;
};

struct Placement {
  std::uint64_t endpoint = 0;
  std::span<const std::uint64_t> keys;
};

class PlacementWriter {
 public:
  // False when the batch has no room for it.
  bool add(const Placement& placement);
  std::uint32_t size() const { return count_; }
  // Begins the next batch.
  std::string finish(const BatchHead& head);

 private:
  std::string body_;
  std::uint32_t count_ = 0;
};

enum class BatchFault : std::uint8_t { kNone, kMalformed, kOtherVersion };

bool looks_like_batch(std::string_view bytes);  // By its first bytes.

// What it read is valid until the next call.
class PlacementReader {
 public:
  BatchFault read(std::string_view bytes);
  const BatchHead& head() const { return head_; }
  std::span<const Placement> placements() const { return placements_; }

 private:
  bool read_placements(std::uint32_t count, std::string_view bytes);

  BatchHead head_;
  std::vector<std::uint64_t> keys_;
  std::vector<std::size_t> ends_;  // Of each placement's keys.
  std::vector<Placement> placements_;
};

}  // namespace fairlead::replication
