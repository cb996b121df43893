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

template <class Bytes>
std::string_view bytes_of(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), sizeof(bytes)};
}

std::uint64_t first_word(const Seal& seal) {
  std::uint64_t word = 0;
  std::memcpy(&word, seal.data(), sizeof word);
  return word;
}

}  // namespace

Digest digest_of(std::string_view message) {
  Digest digest;
  unsigned int size = 0;
  const int made =
      EVP_Digest(message.data(), message.size(), digest.data(), &size, EVP_sha256(), nullptr);
  FAIRLEAD_ASSERT(made == 1 && size == digest.size());
  return digest;
}

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
  secret.challenge_key_ = hmac(text, "fairlead challenges");
  secret.seal_key_ = hmac(text, "fairlead seals");
  return secret;
}

std::uint64_t ReplicaSecret::endpoint_id(std::string_view name) const {
  return first_word(hmac(bytes_of(name_key_), name));
}

Challenge ReplicaSecret::challenge(std::uint64_t process, std::uint64_t number) const {
  const std::array<std::uint64_t, 2> which{process, number};
  const Seal made = hmac(bytes_of(challenge_key_), bytes_of(which));
  Challenge challenge;
  std::memcpy(challenge.data(), made.data(), challenge.size());
  return challenge;
}

Seal ReplicaSecret::seal(const Challenge& challenge, const Digest& digest) const {
  std::array<std::uint8_t, sizeof(Challenge) + sizeof(Digest)> sealed{};
  std::memcpy(sealed.data(), challenge.data(), challenge.size());
  std::memcpy(sealed.data() + challenge.size(), digest.data(), digest.size());
  return hmac(bytes_of(seal_key_), bytes_of(sealed));
}

bool ReplicaSecret::sealed_by(const Challenge& challenge, std::string_view message,
                              std::string_view seal) const {
  if (seal.size() != kSealBytes) return false;
  const Seal expected = this->seal(challenge, digest_of(message));
  return CRYPTO_memcmp(expected.data(), seal.data(), seal.size()) == 0;
}

}  // namespace fairlead::replication
