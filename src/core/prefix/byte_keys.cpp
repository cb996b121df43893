// SPDX-License-Identifier: Apache-2.0
#include "core/prefix/byte_keys.h"

// For XXH3_generateSecret_fromSeed, which is exported but not yet declared stable.
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#if defined(__x86_64__)
// Picks AVX2 or AVX-512 at run time; the values are the same on every path.
#include <xxh_x86dispatch.h>
#endif

#include "base/assert.h"

namespace fairlead::prefix {

namespace {

// Odd constants of full entropy (fractions of sqrt(2), sqrt(3), sqrt(5)).
constexpr std::uint64_t kBlockSalt = 0x6a09e667f3bcc909;
constexpr std::uint64_t kChainSalt = 0xbb67ae8584caa73b;
constexpr std::uint64_t kMarkSalt = 0x3c6ef372fe94f82b;

// 64 x 64 -> 128 multiply, halves folded: full avalanche in about four cycles.
std::uint64_t fold_multiply(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// The seed enters both factors, so that without it nobody can aim for a factor of zero.
std::uint64_t mix(std::uint64_t seed, std::uint64_t a, std::uint64_t b) {
  return fold_multiply(a ^ seed ^ kChainSalt, b ^ (seed << 32 | seed >> 32) ^ kBlockSalt) + b;
}

class Keys {
 public:
  Keys(std::size_t block_bytes, std::uint64_t seed, std::vector<std::uint64_t>& out)
      : block_bytes_(block_bytes), seed_(seed), parent_(seed), out_(out) {
    XXH3_generateSecret_fromSeed(secret_.data(), seed);
  }

  void add(const Span& span) {
    mark_ = mix(seed_, mark_, kMarkSalt ^ (std::uint64_t{span.tag} << 32 | held_));
    std::string_view rest = span.bytes;
    if (held_ > 0) {
      const std::size_t take = std::min(rest.size(), block_bytes_ - held_);
      if (take > 0) std::memcpy(scratch_.data() + held_, rest.data(), take);
      held_ += take;
      rest.remove_prefix(take);
      if (held_ < block_bytes_) return;
      emit(scratch_.data());
      held_ = 0;
    }
    for (; rest.size() >= block_bytes_; rest.remove_prefix(block_bytes_)) emit(rest.data());
    if (!rest.empty()) std::memcpy(scratch_.data(), rest.data(), rest.size());
    held_ = rest.size();
  }

 private:
  void emit(const char* block) {
    const std::uint64_t content =
        XXH3_64bits_withSecret(block, block_bytes_, secret_.data(), secret_.size());
    parent_ = mix(seed_, parent_ ^ mark_, content);
    out_.push_back(parent_);
  }

  std::size_t block_bytes_;
  std::uint64_t seed_;
  std::uint64_t parent_;
  std::uint64_t mark_ = 0;  // Commits to every span start so far.
  std::size_t held_ = 0;    // Bytes in the scratch, less than a block.
  // XXH3 would derive it from the seed anew for every block.
  std::array<unsigned char, XXH3_SECRET_DEFAULT_SIZE> secret_;
  std::array<char, kMaxBlockBytes> scratch_;
  std::vector<std::uint64_t>& out_;
};

}  // namespace

std::uint64_t seed_for(std::uint64_t process_seed, std::string_view model, std::string_view adapter,
                       std::string_view cache_salt) {
  std::uint64_t seed = process_seed;
  // Chained one by one, lengths included, so that no two splits of the same bytes agree.
  for (const std::string_view part : {model, adapter, cache_salt}) {
    const std::uint64_t hash = XXH3_64bits_withSeed(part.data(), part.size(), process_seed);
    seed = mix(process_seed, seed ^ part.size(), hash);
  }
  return seed;
}

std::size_t byte_keys(std::span<const Span> spans, std::size_t block_bytes, std::uint64_t seed,
                      std::vector<std::uint64_t>& out) {
  FAIRLEAD_ASSERT(block_bytes >= kMinBlockBytes && block_bytes <= kMaxBlockBytes);
  std::size_t total = 0;
  for (const Span& span : spans) total += span.bytes.size();
  out.clear();
  out.reserve(total / block_bytes);
  Keys keys(block_bytes, seed, out);
  for (const Span& span : spans) keys.add(span);
  return total;
}

}  // namespace fairlead::prefix
