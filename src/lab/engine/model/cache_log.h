// SPDX-License-Identifier: Apache-2.0
// CacheLog: what becomes of a simulated engine's prefix cache, in order, for whoever publishes it
// as KV-cache events. The model appends; the owner reads and clears after each step has begun,
// which is when vLLM publishes. Threads: a value.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fairlead::engine {

// What a sequence's blocks hold, for those who are told of them.
struct SequenceContent {
  std::vector<std::uint32_t> tokens;  // Of the prompt, and of the output as far as it is known.
  std::string adapter;                // Empty: the base model.
  std::uint32_t adapter_number = 0;
  std::string cache_salt;
};

struct CacheChange {
  enum class Kind : std::uint8_t { kStored, kRemoved, kCleared };
  Kind kind = Kind::kCleared;
  std::uint64_t hash = 0;  // Of kRemoved.
  // Of kStored: consecutive blocks of a sequence, and its content as submitted.
  std::shared_ptr<const SequenceContent> content{};
  std::size_t first_block = 0;
  std::vector<std::uint64_t> hashes{};
  std::optional<std::uint64_t> parent{};  // The block before; none for a sequence's first.
};

using CacheLog = std::vector<CacheChange>;

}  // namespace fairlead::engine
