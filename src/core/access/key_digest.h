// SPDX-License-Identifier: Apache-2.0
// KeyDigest: an API key as it is kept, its SHA-256. A plain hash is right because keys are random
// (`fairlead key new` draws 256 bits): there is nothing to guess, so a slow, salted password hash
// would protect nothing and cost milliseconds a request. A key that a person made up is not safe
// this way.
// Errors: no digest when the key is too long or the library refuses; callers then treat it as
// unknown. Threads: a hasher belongs to one thread; the rest are values.
// Source: FIPS 180-4 as OpenSSL implements it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace fairlead::access {

// Longer ones are nobody's, and are not worth hashing.
inline constexpr std::size_t kKeyBytesMax = 512;

using KeyDigest = std::array<std::uint8_t, 32>;

class KeyHasher {
 public:
  KeyHasher();
  ~KeyHasher();
  KeyHasher(const KeyHasher&) = delete;
  KeyHasher& operator=(const KeyHasher&) = delete;

  // Allocates nothing after the first call.
  std::optional<KeyDigest> digest(std::string_view key);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// 64 hexadecimal digits of either case.
std::optional<KeyDigest> parse_digest(std::string_view hex);
std::string to_hex(const KeyDigest& digest);

// Takes as long for any two digests.
bool same_digest(const KeyDigest& a, const KeyDigest& b);

}  // namespace fairlead::access
