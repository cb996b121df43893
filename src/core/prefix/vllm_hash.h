// SPDX-License-Identifier: Apache-2.0
// The block hashes of vLLM, made anew: digest i = H((digest i-1, tokens of block i, extras or
// None)), where H is a hash of the tuple as Python serialises it, and the digest before block 0 is
// H(seed text). The router does not route by them (token_keys.h): they show whether engines hash
// alike, and whether they are set up as the router was told (kv_hash_audit.h).
//
// Beside them SGLang's chain, which has no seed: H(digest i-1, tokens as 32-bit little-endian).
// Pickled values are as Python 3.8 to 3.14 write them; a text that occurs twice in one tuple
// cannot be reproduced, because pickle tells one object from two equal ones.
// Errors: none. Threads: values. Cost: about half a microsecond a block.
// Source: vllm/v1/core/kv_cache_utils.py, vllm/utils/hashing.py; RFC 8949 (CBOR); Python's pickle.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::prefix {

// By the values of --prefix-caching-hash-algo.
enum class VllmHashAlgorithm : std::uint8_t { kSha256, kSha256Cbor, kXxhash, kXxhashCbor };
inline constexpr std::array kVllmHashAlgorithms{
    VllmHashAlgorithm::kSha256, VllmHashAlgorithm::kSha256Cbor, VllmHashAlgorithm::kXxhash,
    VllmHashAlgorithm::kXxhashCbor};

// What stands for PYTHONHASHSEED where it is not set, in versions from August 2026 on; xxhash then
// has a random seed.
inline constexpr std::string_view kVllmFixedSeed = "vllm-none-hash";

struct BlockDigest {
  std::array<std::uint8_t, 32> bytes{};
  std::size_t size = 0;

  std::span<const std::uint8_t> view() const { return {bytes.data(), size}; }
  // The last eight bytes, as vLLM's events carry it.
  std::uint64_t tail() const;
};

// One of the extras: a text, bytes, a number, or a tuple of these.
struct HashTerm {
  enum class Kind : std::uint8_t { kText, kBytes, kNumber, kTuple };
  Kind kind = Kind::kText;
  std::string_view text;
  std::int64_t number = 0;
  std::vector<HashTerm> parts;

  static HashTerm of(std::string_view text) { return {.text = text, .parts = {}}; }
  static HashTerm of_bytes(std::string_view bytes) {
    return {.kind = Kind::kBytes, .text = bytes, .parts = {}};
  }
  static HashTerm of_number(std::int64_t number) {
    return {.kind = Kind::kNumber, .text = {}, .number = number, .parts = {}};
  }
  static HashTerm tuple(std::vector<HashTerm> parts) {
    return {.kind = Kind::kTuple, .text = {}, .parts = std::move(parts)};
  }
};

class VllmHasher {
 public:
  // `seed` is the text of PYTHONHASHSEED.
  VllmHasher(VllmHashAlgorithm algorithm, std::string_view seed);

  // Before block 0.
  const BlockDigest& none() const { return none_; }
  // No extras: None.
  BlockDigest block(const BlockDigest& parent, std::span<const std::uint32_t> tokens,
                    std::span<const HashTerm> extras = {}) const;

  // What is hashed for a block, for tests.
  std::string serialise(const BlockDigest& parent, std::span<const std::uint32_t> tokens,
                        std::span<const HashTerm> extras) const;

 private:
  BlockDigest digest(std::string_view bytes) const;

  VllmHashAlgorithm algorithm_;
  BlockDigest none_;
};

// SGLang's: an empty parent begins a chain. Its events carry the first eight bytes.
BlockDigest sglang_block(const BlockDigest& parent, std::span<const std::uint32_t> tokens);
std::uint64_t sglang_event_hash(const BlockDigest& digest);

}  // namespace fairlead::prefix
