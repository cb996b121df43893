// SPDX-License-Identifier: Apache-2.0
// ReplicaSecret: what the routers of one fleet share and nobody else knows. From one text follow
// the seed of their prefix keys, so that equal prompts have equal keys on all of them, the ids of
// endpoints, and the key that seals what they tell each other.
//
// The parts are HMAC-SHA256 of the text over a label each (RFC 2104), so that none tells another.
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

class ReplicaSecret {
 public:
  // As `openssl rand -base64 32` makes one; white space at the end does not count.
  static constexpr std::size_t kTextBytesMin = 16;
  static constexpr std::size_t kTextBytesMax = 4096;

  static Result<ReplicaSecret> derive(std::string_view text);

  std::uint64_t key_seed() const { return key_seed_; }
  std::uint64_t endpoint_id(std::string_view name) const;
  Seal seal(std::string_view message) const;
  // Takes as long whatever is wrong with it.
  bool sealed_by(std::string_view message, std::string_view seal) const;

 private:
  ReplicaSecret() = default;

  std::uint64_t key_seed_ = 0;
  Seal name_key_{};
  Seal seal_key_{};
};

}  // namespace fairlead::replication
