// SPDX-License-Identifier: Apache-2.0
#include "core/access/key_digest.h"

#include <openssl/evp.h>

namespace fairlead::access {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

int value_of(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

}  // namespace

// Looking an algorithm up takes locks and memory, so it is done once.
struct KeyHasher::State {
  std::unique_ptr<EVP_MD, void (*)(EVP_MD*)> algorithm{EVP_MD_fetch(nullptr, "SHA256", nullptr),
                                                       EVP_MD_free};
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

KeyHasher::KeyHasher() : state_(std::make_unique<State>()) {}

KeyHasher::~KeyHasher() = default;

std::optional<KeyDigest> KeyHasher::digest(std::string_view key) {
  if (key.size() > kKeyBytesMax || !state_->algorithm || !state_->context) return std::nullopt;
  KeyDigest digest;
  unsigned int size = 0;
  EVP_MD_CTX* const context = state_->context.get();
  if (EVP_DigestInit_ex2(context, state_->algorithm.get(), nullptr) != 1 ||
      EVP_DigestUpdate(context, key.data(), key.size()) != 1 ||
      EVP_DigestFinal_ex(context, digest.data(), &size) != 1 || size != digest.size()) {
    return std::nullopt;
  }
  return digest;
}

std::optional<KeyDigest> parse_digest(std::string_view hex) {
  KeyDigest digest;
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const int high = value_of(hex[2 * i]);
    const int low = value_of(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return digest;
}

std::string to_hex(const KeyDigest& digest) {
  std::string hex;
  for (const std::uint8_t byte : digest) {
    hex += kHex[byte >> 4];
    hex += kHex[byte & 15];
  }
  return hex;
}

bool same_digest(const KeyDigest& a, const KeyDigest& b) {
  std::uint8_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
  }
  return difference == 0;
}

}  // namespace fairlead::access
