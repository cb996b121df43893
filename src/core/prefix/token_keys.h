// SPDX-License-Identifier: Apache-2.0
// Token keys: one 64-bit key for each whole block of token ids, made the same way from a request's
// tokens and from an engine's events, whatever hash the engine itself uses. A key commits to its
// namespace and to all blocks before it: equal keys mean equal prefixes (up to 64-bit collisions).
//
// content() hashes one block alone, so blocks can be hashed in any order; chain() then joins them
// with one multiplication a block. Both are keyed: token ids are chosen by strangers, who must not
// be able to make keys collide. The seed comes from the Random port, once a process; keys of two
// processes have nothing in common. Construction: 64 x 64 -> 128 multiplications, halves folded
// (as in wyhash, Wang Yi, public domain). Threads: immutable. Never fails, never allocates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace fairlead::prefix {

// What separates caches that must not match each other.
struct KvNamespace {
  std::string_view model = {};
  std::string_view adapter = {};     // LoRA name; empty for the base model.
  std::string_view cache_salt = {};  // Tenant salt; empty for none.
  std::uint32_t block_tokens = 16;
};

class TokenKeys {
 public:
  explicit TokenKeys(std::uint64_t seed);

  // The key before block 0 of the namespace, for chain() and KvLane::store().
  std::uint64_t root(const KvNamespace& space) const;

  // Hash of the tokens of one block. `extra` identifies what else the engine hashed into it, such
  // as a multimodal item (see extra_of); 0 for nothing.
  std::uint64_t content(std::span<const std::uint32_t> tokens, std::uint64_t extra = 0) const;

  // Hash of an extra's bytes (multimodal item) and a number beside them (its offset in the block),
  // continuing `extra`, so that several extras of one block make one value. Never 0.
  std::uint64_t extra_of(std::string_view item, std::uint64_t number, std::uint64_t extra) const;

  // The key of a block, given the key before it (a root, or the previous block's key).
  std::uint64_t chain(std::uint64_t previous, std::uint64_t content) const {
    return fold(previous ^ chain_[0], content ^ chain_[1]) + content;
  }

  // All keys of a prompt: out[i] for block i. `out` holds tokens.size() / block_tokens rows or
  // fewer; the trailing partial block has no key. Returns the keys written.
  std::size_t keys(std::uint64_t root, std::span<const std::uint32_t> tokens,
                   std::uint32_t block_tokens, std::span<std::uint64_t> out) const;

 private:
  static std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }
  std::uint64_t bytes(std::string_view text, std::uint64_t state) const;

  std::array<std::uint64_t, 6> secret_;
  std::array<std::uint64_t, 2> chain_;
};

}  // namespace fairlead::prefix
