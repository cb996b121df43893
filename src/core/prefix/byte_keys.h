// SPDX-License-Identifier: Apache-2.0
// Byte keys: one 64-bit key for each whole block of the prompt's raw bytes. A key commits to
// everything before it: equal keys mean equal prefixes (up to 64-bit collisions), in content,
// roles and the places where spans begin. The last, partial block has no key.
//
// Each block is hashed alone (XXH3-64, seeded), then chained by a keyed mix, because chaining the
// hashes themselves would serialise them. Blocks inside one span are hashed where they lie;
// blocks across spans are gathered in a scratch buffer on the stack.
// The seed decides what may share: mix into it the process seed (keys must not be guessable), the
// model, the adapter and cache_salt; see seed_for(). Threads: pure functions. Allocates only to
// grow `out`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fairlead::prefix {

inline constexpr std::size_t kDefaultBlockBytes = 1024;
inline constexpr std::size_t kMinBlockBytes = 64;
inline constexpr std::size_t kMaxBlockBytes = 16 * 1024;

// A run of prompt bytes. The start of every span is marked in the block that holds it, with the
// tag, so that the same bytes under other roles, or cut elsewhere into messages, differ.
struct Span {
  std::string_view bytes;
  std::uint32_t tag = 0;  // Role and kind, as the caller encodes them.
};

[[nodiscard]] std::uint64_t seed_for(std::uint64_t process_seed, std::string_view model,
                                     std::string_view adapter, std::string_view cache_salt);

// Replaces `out` by the keys. `block_bytes` lies in [kMinBlockBytes, kMaxBlockBytes] (asserted).
// Returns the total of bytes in all spans; out.size() == total / block_bytes.
std::size_t byte_keys(std::span<const Span> spans, std::size_t block_bytes, std::uint64_t seed,
                      std::vector<std::uint64_t>& out);

}  // namespace fairlead::prefix
