// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/token_keys.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/random.h"

namespace fairlead::prefix {

namespace {

std::uint64_t load(const std::byte* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

// Up to 8 bytes, the missing ones read as 0.
std::uint64_t load_some(const std::byte* at, std::size_t size) {
  std::array<std::byte, 8> padded{};
  std::memcpy(padded.data(), at, size);
  return load(padded.data());
}

}  // namespace

TokenKeys::TokenKeys(std::uint64_t seed) {
  Random random(seed);
  for (std::uint64_t& word : secret_) word = random.next() | 1;
  for (std::uint64_t& word : chain_) word = random.next();
}

std::uint64_t TokenKeys::content(std::span<const std::uint32_t> tokens, std::uint64_t extra) const {
  // The bytes on little-endian machines; keys never leave the process, so order is free.
  const auto* at = reinterpret_cast<const std::byte*>(tokens.data());
  std::size_t left = tokens.size_bytes();
  std::uint64_t even = secret_[0] ^ left;
  std::uint64_t odd = secret_[1] ^ extra;
  for (; left >= 32; at += 32, left -= 32) {
    even = fold(load(at) ^ secret_[2], load(at + 8) ^ even);
    odd = fold(load(at + 16) ^ secret_[3], load(at + 24) ^ odd);
  }
  for (; left > 0;) {
    const std::size_t take = std::min<std::size_t>(left, 8);
    even = fold(load_some(at, take) ^ secret_[4], even ^ secret_[2]);
    at += take;
    left -= take;
  }
  return fold(even ^ secret_[5], odd ^ secret_[4]) ^ even;
}

std::uint64_t TokenKeys::bytes(std::string_view text, std::uint64_t state) const {
  const auto* at = reinterpret_cast<const std::byte*>(text.data());
  state = fold(state ^ secret_[0], text.size() ^ secret_[3]) + text.size();
  for (std::size_t left = text.size(); left > 0;) {
    const std::size_t take = std::min<std::size_t>(left, 8);
    const std::uint64_t word = load_some(at, take);
    state = fold(state ^ secret_[1], word ^ secret_[2]) + word;
    at += take;
    left -= take;
  }
  return state;
}

std::uint64_t TokenKeys::root(const KvNamespace& space) const {
  std::uint64_t state = bytes(space.model, secret_[5]);
  state = bytes(space.adapter, state);
  state = bytes(space.cache_salt, state);
  return fold(state ^ secret_[4], space.block_tokens ^ secret_[0]) + space.block_tokens;
}

std::uint64_t TokenKeys::extra_of(std::string_view item, std::uint64_t number,
                                  std::uint64_t extra) const {
  const std::uint64_t state = bytes(item, extra ^ secret_[3]);
  return (fold(state ^ secret_[1], number ^ secret_[5]) + number) | 1;
}

std::size_t TokenKeys::keys(std::uint64_t root, std::span<const std::uint32_t> tokens,
                            std::uint32_t block_tokens, std::span<std::uint64_t> out) const {
  const std::size_t count = std::min(tokens.size() / block_tokens, out.size());
  std::uint64_t key = root;
  for (std::size_t i = 0; i < count; ++i) {
    key = chain(key, content(tokens.subspan(i * block_tokens, block_tokens)));
    out[i] = key;
  }
  return count;
}

}  // namespace fairlead::prefix
