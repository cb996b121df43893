// SPDX-License-Identifier: Apache-2.0
#include "core/replication/replica_secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>

#include "base/assert.h"

namespace fairlead::replication {
namespace {

Seal hmac(std::string_view key, std::string_view message) {
  Seal seal;
  unsigned int size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(message.data());
  const unsigned char* const made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                         bytes, message.size(), seal.data(), &size);
  FAIRLEAD_ASSERT(made != nullptr && size == seal.size());
  return seal;
}

std::string_view bytes_of(const Seal& seal) {
  return {reinterpret_cast<const char*>(seal.data()), seal.size()};
}

std::uint64_t first_word(const Seal& seal) {
  std::uint64_t word = 0;
  std::memcpy(&word, seal.data(), sizeof word);
  return word;
}

}  // namespace

Result<ReplicaSecret> ReplicaSecret::derive(std::string_view text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  text = text.substr(0, end == std::string_view::npos ? 0 : end + 1);
  if (text.size() < kTextBytesMin || text.size() > kTextBytesMax) {
    return fail(ErrorCode::kInvalidArgument,
                "a secret has {} to {} bytes, this one has {}; make one with: openssl rand "
                "-base64 32",
                kTextBytesMin, kTextBytesMax, text.size());
  }
  ReplicaSecret secret;
  secret.key_seed_ = first_word(hmac(text, "fairlead prefix keys"));
  secret.name_key_ = hmac(text, "fairlead endpoints");
  secret.seal_key_ = hmac(text, "fairlead seals");
  return secret;
}

std::uint64_t ReplicaSecret::endpoint_id(std::string_view name) const {
  return first_word(hmac(bytes_of(name_key_), name));
}

Seal ReplicaSecret::seal(std::string_view message) const {
  return hmac(bytes_of(seal_key_), message);
}

bool ReplicaSecret::sealed_by(std::string_view message, std::string_view seal) const {
  if (seal.size() != kSealBytes) return false;
  const Seal expected = this->seal(message);
  return CRYPTO_memcmp(expected.data(), seal.data(), seal.size()) == 0;
}

}  // namespace fairlead::replication
