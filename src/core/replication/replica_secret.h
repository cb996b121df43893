// SPDX-License-Identifier: Apache-2.0
// ReplicaSecret: what the routers of one fleet share and nobody else knows. From one text follow
// the seed of their prefix keys, so that equal prompts have equal keys on all of them, the ids of
// endpoints, and the key that seals what they tell each other.
//
// The parts are HMAC-SHA256 of the text over a label each (RFC 2104), so that none tells another. A
// seal is over the challenge of the connection, which whoever is told makes up, and the digest of
// the message: what was recorded on one connection is of no use on another.
// Errors: a text that is too short or too long. Threads: values; sealing may run anywhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace fairlead::replication {

inline constexpr std::size_t kSealBytes = 32;
using Seal = std::array<std::uint8_t, kSealBytes>;
using Digest = std::array<std::uint8_t, 32>;  // SHA-256.
inline constexpr std::size_t kChallengeBytes = 16;
using Challenge = std::array<std::uint8_t, kChallengeBytes>;

Digest digest_of(std::string_view message);

class ReplicaSecret {
 public:
  // As `openssl rand -base64 32` makes one; white space at the end does not count.
  static constexpr std::size_t kTextBytesMin = 16;
  static constexpr std::size_t kTextBytesMax = 4096;

  static Result<ReplicaSecret> derive(std::string_view text);

  std::uint64_t key_seed() const { return key_seed_; }
  std::uint64_t endpoint_id(std::string_view name) const;
  // Another for each process and number, and nobody's to guess.
  Challenge challenge(std::uint64_t process, std::uint64_t number) const;
  Seal seal(const Challenge& challenge, const Digest& digest) const;
  // Takes as long whatever is wrong with it.
  bool sealed_by(const Challenge& challenge, std::string_view message, std::string_view seal) const;

 private:
  ReplicaSecret() = default;

  std::uint64_t key_seed_ = 0;
  Seal name_key_{};
  Seal challenge_key_{};
  Seal seal_key_{};
};

}  // namespace fairlead::replication
